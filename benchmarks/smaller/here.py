"""Ours: `to_sparsity` with coupled units, `shrink`, and adam on what is left."""

import functools
import itertools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from benchmarks.smaller.task import (
    Problem,
    Setting,
    Side,
    Size,
    Trained,
    falling,
    first_weights,
    rows_of_batches,
    units_of,
)
from penalties import L1, MCP, Coupled, LogSum, couplings, shrink, to_sparsity

# A penalty, and how much of its even share each layer keeps at least.
OWN = tuple(itertools.product((L1(1.0), LogSum(1.0, epsilon=0.1), MCP(1.0)), (0.5, 0.8)))
LAYOUT = ("NHWC", "HWIO", "NHWC")


def mlp(params: Any, x: Array) -> Array:
    for name in ("first", "second"):
        x = jax.nn.relu(x @ params[f"{name}.weight"].T + params[f"{name}.bias"])
    return x @ params["out.weight"].T + params["out.bias"]


def cnn(params: Any, x: Array) -> Array:
    x = x.transpose(0, 2, 3, 1)  # XLA's CPU is slow at other layouts
    for name, stride in (("first", 1), ("second", 2)):
        kernel, around = params[f"{name}.weight"].transpose(2, 3, 1, 0), [(1, 1), (1, 1)]
        x = jax.lax.conv_general_dilated(x, kernel, (stride, stride), around, dimension_numbers=LAYOUT)
        x = jax.nn.relu(x + params[f"{name}.bias"])
    x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    x = jax.nn.relu(x @ params["third.weight"].T + params["third.bias"])
    return x @ params["out.weight"].T + params["out.bias"]


NETWORKS = {"MLP": mlp, "CNN": cnn}


Step = Callable[[Any, Any, Array, Array, Any], tuple[Any, Any]]


def step_of(apply: Any, optimizer_of: Callable[[Any], optax.GradientTransformation]) -> Step:
    """A compiled step: params, state, images and labels of the batch, what the optimizer is made from."""

    def step(params: Any, state: Any, x: Array, y: Array, numbers: Any) -> tuple[Any, Any]:
        def loss(params: Any) -> Array:
            return optax.softmax_cross_entropy_with_integer_labels(apply(params, x), y).mean()

        updates, state = optimizer_of(numbers).update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    return jax.jit(step)


@functools.cache
def sparse_training(network: str, own: int | None, steps: int) -> tuple[Callable[..., Any], Step]:
    """An optimizer from a rate and a target, and its step, compiled once for all of them and all seeds."""
    apply = NETWORKS[network]
    if own is None:
        return _dense, step_of(apply, _dense)
    penalty, floor = OWN[own]
    inputs = jnp.zeros((1, 64) if network == "MLP" else (1, 1, 8, 8))
    units = Coupled(penalty, couplings(apply, first_weights(network, 0), inputs))

    def optimizer_of(numbers: Any) -> optax.GradientTransformation:
        rate, target = numbers
        return to_sparsity(optax.adam(rate), units, target, steps, cut=1.0, floor=floor)

    return optimizer_of, step_of(apply, optimizer_of)


def _dense(numbers: Any) -> optax.GradientTransformation:
    return optax.adam(numbers[0])


def train(at: Problem, size: Size, setting: Setting, target: float, seed: int) -> Trained:
    begun = time.perf_counter()
    rows = rows_of_batches(seed, size.sparse + size.fine, len(at.train.y))
    x, y = at.train.x[rows], at.train.y[rows]
    apply, own = NETWORKS[at.network], None if setting.own is None else OWN.index(setting.own)
    optimizer_of, step = sparse_training(at.network, own, size.sparse)
    numbers = (jnp.float32(setting.rate), jnp.float32(target))
    large = jax.tree.map(jnp.asarray, first_weights(at.network, seed))
    state = optimizer_of(numbers).init(large)
    for i in range(size.sparse):
        large, state = step(large, state, x[i], y[i], numbers)
    small = shrink(apply, large, x[0, :1])
    tuned, state, step = small.params, _dense((0.0,)).init(small.params), step_of(small.apply, _dense)
    for i, rate in enumerate(falling(setting.rate, size.fine), size.sparse):
        tuned, state = step(tuned, state, x[i], y[i], (rate,))
    jax.block_until_ready(tuned)
    seconds = time.perf_counter() - begun
    return Trained(
        _function(apply, large),
        _function(small.apply, small.params),
        _function(small.apply, tuned),
        sum(len(kept) for kept in small.kept.values()) if target else units_of(at.network),
        sum(leaf.size for leaf in jax.tree.leaves(tuned)),
        seconds,
    )


def _function(apply: Any, params: Any) -> Callable[[Array], Array]:
    compiled = jax.jit(apply)
    return lambda x: compiled(params, x).block_until_ready()


SIDES = {
    "here, dense": Side(train, (None,), jnp.asarray, (0.0,)),
    "here, to_sparsity and shrink": Side(train, OWN, jnp.asarray),
}
