"""penalized(adam, L1) against plain adam: a training step, and the update alone.

On CPU the update is bound by memory: XLA writes one array in each of its loops there, so that adam
passes over the weights 10 times (m, v and w are read and written, m and v read again for w, the
gradient twice), and penalized 18 times, for its loops for m and v also read w and the average. On
devices where XLA fuses loops with several outputs it is 9 passes for adam's 7.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.results import Row
from benchmarks.timing import Ratio, medians, show
from penalties import L1, penalized


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


def optimizers(penalty):
    """Plain adam, and penalized with its average in two dtypes."""
    adam = optax.adam(1e-3)
    return {
        "adam": adam,
        "float32": penalized(adam, penalty),
        "bfloat16": penalized(adam, penalty, accumulator_dtype=jnp.bfloat16),
    }


def check_the_same() -> None:
    """Strength 0 is no penalty: the same weights as plain adam, to the last bit."""
    params, grads = jnp.linspace(-1, 1, 100), jnp.sin(jnp.arange(100.0))
    plain, ours = optax.adam(1e-2), penalized(optax.adam(1e-2), L1(0.0))
    one = plain.update(grads, plain.init(params), params)[0]
    np.testing.assert_array_equal(one, ours.update(grads, ours.init(params), params)[0])


def mlp(width: int, layers: int, batch: int, repeats: int) -> list[Row]:
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

    penalty = L1(1e-5).on("**/kernel")
    rivals = {name: stepping(optimizer, loss, params) for name, optimizer in optimizers(penalty).items()}
    times = medians(rivals, repeats)
    return show(
        f"a training step: {layers} layers, {width} wide, batch {batch}",
        [
            Ratio(f"penalized(adam, L1), average in {dtype}", "adam", times[dtype], times["adam"], 1.05)
            for dtype in ("float32", "bfloat16")
        ],
    )


def update_alone(weights: int, repeats: int) -> list[Row]:
    params = jax.random.normal(jax.random.key(0), (weights // 1000, 1000))
    params = {"w": jnp.where(jnp.abs(params) < 0.5, 0.0, params)}  # as in training, many are zero
    grads = {"w": jax.random.normal(jax.random.key(1), (weights // 1000, 1000))}
    penalty = L1(1e-3)
    rivals = {name: updating(optimizer, grads, params) for name, optimizer in optimizers(penalty).items()}
    times = medians(rivals, repeats)
    return show(
        f"the update alone: {weights:,} weights",
        [
            Ratio(f"penalized(adam, L1), average in {dtype}", "adam", times[dtype], times["adam"], goal)
            for dtype, goal in (("float32", 1.3), ("bfloat16", 1.15))
        ],
    )
