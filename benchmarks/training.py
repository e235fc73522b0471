"""penalized(adam, L1) and groups against plain adam: a training step, and the update alone.

On CPU the update is bound by memory: XLA writes one array in each of its loops there, so that adam
passes over the weights 10 times (m, v and w are read and written, m and v read again for w, the
gradient twice), and penalized 18 times, for its loops for m and v also read w and the average. On
devices where XLA fuses loops with several outputs it is 9 passes for adam's 7.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.results import Row
from benchmarks.timing import Ratio, medians, show
from penalties import L1, GroupLasso, penalized


def stepping(optimizer, loss, params):
    """A function that makes one jitted training step after another, buffers donated."""
    return repeating(optimizer, jax.grad(loss), params)


def updating(optimizer, grads, params):
    """The same with fixed gradients. Weights are updated too: new memory for updates would take the time."""
    return repeating(optimizer, lambda params, grads: grads, params, grads)


def repeating(optimizer, gradient, params, *inputs):
    @jax.jit
    def start(params):
        return jax.tree.map(jnp.copy, params), optimizer.init(params)

    def step(params, state, *inputs):
        updates, state = optimizer.update(gradient(params, *inputs), state, params)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(step, donate_argnums=(0, 1))
    carry = start(params)

    def once():
        nonlocal carry
        carry = compiled(*carry, *inputs)
        return carry

    return once


ADAM = "adam"


def optimizers(l1: float, groups: float, selection: str) -> dict[str, optax.GradientTransformation]:
    """Plain adam, and penalized with its average in two dtypes, and with groups."""
    adam = optax.adam(1e-3)
    lasso, group_lasso = L1(l1).on(selection), GroupLasso(groups).on(selection)
    return {
        ADAM: adam,
        "penalized(adam, L1)": penalized(adam, lasso),
        "penalized(adam, L1), average in bfloat16": penalized(adam, lasso, accumulator_dtype=jnp.bfloat16),
        "penalized(adam, GroupLasso)": penalized(adam, group_lasso),
    }


def against_adam(title: str, times: dict[str, float], goals: tuple[float, float, float]) -> list[Row]:
    rivals = [name for name in times if name != ADAM]
    return show(
        title,
        [Ratio(name, ADAM, times[name], times[ADAM], goal) for name, goal in zip(rivals, goals, strict=True)],
    )


def check_the_same() -> None:
    """Strength 0 is no penalty: the same weights as plain adam, to the last bit."""
    params, grads = jnp.linspace(-1, 1, 100), jnp.sin(jnp.arange(100.0))
    plain, ours = optax.adam(1e-2), penalized(optax.adam(1e-2), L1(0.0))
    one = plain.update(grads, plain.init(params), params)[0]
    np.testing.assert_array_equal(one, ours.update(grads, ours.init(params), params)[0])


def deep_network(width: int, layers: int, batch: int) -> tuple[Any, Callable[[Any], Any]]:
    """Params of a deep network of square layers, and its loss on one batch."""
    keys = jax.random.split(jax.random.key(0), layers + 1)
    params = [
        {"kernel": jax.random.normal(k, (width, width)) / width**0.5, "bias": jnp.zeros(width)}
        for k in keys[1:]
    ]
    x = jax.random.normal(keys[0], (batch, width))

    def loss(params):
        h = x
        for layer in params:
            h = jax.nn.relu(h @ layer["kernel"] + layer["bias"])
        return jnp.mean((h - 1) ** 2)

    return params, loss


def mlp(width: int, layers: int, batch: int, repeats: int) -> list[Row]:
    params, loss = deep_network(width, layers, batch)
    rivals = {
        name: stepping(optimizer, loss, params)
        for name, optimizer in optimizers(1e-5, 1e-5, "**/kernel").items()
    }
    title = f"a training step: {layers} layers, {width} wide, batch {batch}"
    return against_adam(title, medians(rivals, repeats), (1.05, 1.05, 1.35))


def update_alone(weights: int, repeats: int) -> list[Row]:
    params = jax.random.normal(jax.random.key(0), (weights // 1000, 1000))
    params = {"w": jnp.where(jnp.abs(params) < 0.5, 0.0, params)}  # as in training, many are zero
    grads = {"w": jax.random.normal(jax.random.key(1), (weights // 1000, 1000))}
    rivals = {
        name: updating(optimizer, grads, params) for name, optimizer in optimizers(1e-3, 1e-3, "w").items()
    }
    title = f"the update alone: {weights:,} weights"
    return against_adam(title, medians(rivals, repeats), (1.3, 1.15, 4.0))
