"""A loss whose penalized solution is known, and plain training loops around it."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from penalties import L1, Penalty

from cases import random_params

KERNELS = L1(0.1).on("*/kernel")


def assert_same(a, b):
    """The same structure, shapes, dtypes and numbers, NaN for NaN."""
    chex.assert_trees_all_equal_shapes_and_dtypes(a, b)
    chex.assert_trees_all_equal(a, b)


assert_close = functools.partial(chex.assert_trees_all_close, rtol=1e-5, atol=1e-6)


def target_loss(params):
    """½‖w − target‖², with targets below and above a strength of 0.1: solved by soft(target, 0.1)."""
    return 0.5 * sum(
        jnp.sum((w - t) ** 2) for w, t in zip(*map(jax.tree.leaves, (params, TARGETS)), strict=True)
    )


TARGETS = jax.tree.map(
    lambda w: jnp.where(jnp.arange(w.size).reshape(w.shape) % 2 == 0, 0.05, jnp.sign(w) * 0.5),
    random_params(),
)


def stepper(optimizer, loss=target_loss):
    """One compiled training step: (params, state) to (params, state)."""

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        with jax.numpy_dtype_promotion("standard"):
            return optax.apply_updates(params, updates), state

    return step


def train(optimizer, params, steps, loss=target_loss):
    step, state = stepper(optimizer, loss), optimizer.init(params)
    for _ in range(steps):
        params, state = step(params, state)
    return params, state


def updates_of(optimizer, params, gradients):
    """The updates that a sequence of gradients gives, params moving along."""
    state, found = optimizer.init(params), []
    for grads in gradients:
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        found.append(updates)
    return found


def compiled(optimizer):
    """The optimizer, its update jitted."""
    return optax.GradientTransformation(optimizer.init, jax.jit(optimizer.update))


def zero_count(tree):
    return sum(int(jnp.sum(w == 0)) for w in jax.tree.leaves(tree))


def soft(x, threshold):
    return np.sign(x) * np.maximum(np.abs(x) - threshold, 0)


class Quartic(Penalty):
    """Has a value, and no rule for zeros."""

    strength: float

    def value_at(self, w):
        return jnp.sum(self.strength * w**4)

    def prox_at(self, v, step):
        raise NotImplementedError
