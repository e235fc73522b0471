"""Dual averaging with momentum: RMDA, and RAMDA in a cube-root metric.

Huang and Lee, Training structured neural networks through manifold identification and variance reduction,
ICLR 2022, arXiv 2112.02612, algorithm 1; Regularized adaptive momentum dual averaging, arXiv 2403.14398,
algorithm 1. Both restart from where they are at each of their stages, with a tenth of the rate; the part of
the way they go to the new point grows to all of it within the last stage, or nothing would be exactly zero.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from benchmarks.rivals.regularizers import on_kernels


class Averages(NamedTuple):
    """Where the stage started, and weighted sums over it: of gradients, of their squares, of the weights."""

    start: Any
    gradients: Any
    squares: Any
    total: Array
    count: Array


class Stages(NamedTuple):
    """When to restart, and how far to go."""

    rate: Any
    steps: int
    part: Any
    number: int = 4

    def at(self, count):
        """The stage, the step within it, and the share of the way to the new point."""
        length = self.steps // self.number
        stage = jnp.minimum(count // length, self.number - 1)
        step = count - stage * length + 1
        whole = jnp.minimum(self.part * jnp.sqrt(step), 1)
        return stage, step, jnp.where(stage == self.number - 1, whole, self.part)


def rmda(regularizer, rate, steps, part):
    """w̃ = prox_{(α/β)·R}(w₀ − V/β), β = √t; w ← (1 − c)·w + c·w̃."""

    def target(averages, stage, root):
        moved = jax.tree.map(lambda w, v: w - v / root, averages.start, averages.gradients)
        step = averages.total / root
        return on_kernels(lambda v: regularizer.metric_prox(v, jnp.ones_like(v), step), moved)

    return _averaging(target, Stages(rate, steps, part), squares=False)


def ramda(regularizer, rate, steps, part):
    """w̃ = argmin ⟨V, w⟩ + α·R(w) + ½(w − w₀)ᵀP(w − w₀), P = ∛U + ε; w ← (1 − c)·w + c·w̃."""

    def target(averages, stage, root):
        metric = jax.tree.map(lambda u: jnp.cbrt(u) + 1e-6 * 0.1**stage, averages.squares)
        moved = jax.tree.map(lambda w, v, p: w - v / p, averages.start, averages.gradients, metric)
        return on_kernels(lambda v, p: regularizer.metric_prox(v, p, averages.total), moved, metric)

    return _averaging(target, Stages(rate, steps, part), squares=True)


def _averaging(target, stages, *, squares):
    def init(params):
        nothing = jax.tree.map(jnp.zeros_like, params)
        return Averages(
            params, nothing, nothing if squares else None, jnp.zeros(()), jnp.zeros((), jnp.int32)
        )

    def update(grads, state, params):
        stage, step, part = stages.at(state.count)
        root = jnp.sqrt(step.astype(jnp.float32))
        weight = stages.rate * 0.1**stage * root

        def sum_up(old, new):
            return jnp.where(step == 1, 0, old) + weight * new

        averages = Averages(
            jax.tree.map(lambda old, w: jnp.where(step == 1, w, old), state.start, params),
            jax.tree.map(sum_up, state.gradients, grads),
            jax.tree.map(lambda u, g: sum_up(u, g * g), state.squares, grads) if squares else None,
            sum_up(state.total, 1.0),
            state.count + 1,
        )
        new = target(averages, stage, root)
        mixed = jax.tree.map(lambda w, n: (1 - part) * w + part * n, params, new)
        return jax.tree.map(jnp.subtract, mixed, params), averages

    return optax.GradientTransformation(init, update)
