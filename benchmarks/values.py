"""Values and gradients beside the bare reductions they are made of, keras.regularizers, and torch."""

import importlib.util
import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import keras
import numpy as np

from benchmarks.results import Row
from benchmarks.timing import Ratio, console, medians, show
from penalties import L1, L2, ElasticNet


def bare_l1(w):
    return jnp.sum(jnp.abs(w))


def bare_l2(w):
    return jnp.sum(w * w)


def bare_both(w):
    return jnp.sum(jnp.abs(w)) + jnp.sum(w * w)


CASES = {
    "L1": (L1(0.5), bare_l1, keras.regularizers.L1(0.5)),
    "L2": (L2(0.5), bare_l2, keras.regularizers.L2(0.5)),
    "ElasticNet": (ElasticNet(0.5, 0.5), bare_both, keras.regularizers.L1L2(0.5, 0.5)),
}


def by_torch(name: str, w: Any) -> tuple[dict[str, Callable[[], Any]], dict[str, Callable[[], Any]]]:
    """Value, and value and gradient, in torch without a compiler; nothing where it is not installed."""
    if importlib.util.find_spec("torch") is None:
        return {}, {}
    import torch

    leaf = torch.tensor(np.asarray(w), requires_grad=True)
    formula = {
        "L1": lambda w: 0.5 * w.abs().sum(),
        "L2": lambda w: 0.5 * w.square().sum(),
        "ElasticNet": lambda w: 0.5 * w.abs().sum() + 0.5 * w.square().sum(),
    }[name]

    def value() -> Any:
        with torch.no_grad():
            return formula(leaf)

    def value_and_gradient() -> Any:
        loss = formula(leaf)
        return loss, torch.autograd.grad(loss, leaf)

    return {"torch": value}, {"torch": value_and_gradient}


def large(weights: int, repeats: int) -> list[Row]:
    """Value, and value and gradient, of many float32 weights in one leaf."""
    w = jax.random.normal(jax.random.key(0), (weights,))
    values, gradients = [], []
    for name, (penalty, bare, by_keras) in CASES.items():
        ours = jax.jit(lambda penalty, w: penalty(w))
        theirs = {"bare": jax.jit(bare), "Keras": jax.jit(by_keras)}
        np.testing.assert_allclose(ours(penalty, w), 0.5 * theirs["bare"](w), rtol=1e-4)
        np.testing.assert_allclose(ours(penalty, w), theirs["Keras"](w), rtol=1e-4)
        value_by_torch, both_by_torch = by_torch(name, w)
        for value in value_by_torch.values():
            np.testing.assert_allclose(ours(penalty, w), value().numpy(), rtol=1e-4)
        memory = ours.lower(penalty, w).compile().memory_analysis().temp_size_in_bytes
        console.print(f"{name}: {memory:,} bytes of scratch in the compiled value of {4 * weights:,} bytes")

        times = medians(
            {"ours": lambda f=ours, p=penalty: f(p, w)}
            | {k: lambda f=f: f(w) for k, f in theirs.items()}
            | value_by_torch,
            repeats,
        )
        values += [
            Ratio(f"{name}, value", peer, times["ours"], times[peer], 1.1 if peer == "bare" else None)
            for peer in (*theirs, *value_by_torch)
        ]

        with_grad = jax.jit(jax.value_and_grad(lambda w, penalty: penalty(w)))
        rivals = {k: jax.jit(jax.value_and_grad(f)) for k, f in (("bare", bare), ("Keras", by_keras))}
        times = medians(
            {"ours": lambda f=with_grad, p=penalty: f(w, p)}
            | {k: lambda f=f: f(w) for k, f in rivals.items()}
            | both_by_torch,
            repeats,
        )
        gradients += [
            Ratio(f"{name}, value and gradient", peer, times["ours"], times[peer])
            for peer in (*rivals, *both_by_torch)
        ]
    return show(f"{weights:,} float32 weights", values + gradients)


def many_leaves(leaves: int, repeats: int) -> list[Row]:
    """An eager call, which selects and checks in Python, against the jitted one."""
    params = {f"layer_{i}": {"kernel": jnp.ones((32, 32)), "bias": jnp.ones(32)} for i in range(leaves // 2)}
    penalty = L1(0.5)
    jitted = jax.jit(lambda penalty, params: penalty(params))
    assert jitted(penalty, params) == penalty(params)

    def several(call):  # one call is too short to time well
        return lambda: [call() for _ in range(20)]

    times = medians(
        {"eager": several(lambda: penalty(params)), "jitted": several(lambda: jitted(penalty, params))},
        repeats,
    )
    return show(
        f"a call on {leaves} leaves (20 calls timed)",
        [Ratio("L1, eager", "jitted", times["eager"], times["jitted"], 1.5)],
    )
