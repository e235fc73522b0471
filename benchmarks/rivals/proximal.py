"""Proximal steps: ProxSGD with momentum, and ProxGen in adam's metric.

Yun, Lozano and Yang, Adaptive proximal gradient methods for structured neural networks, NeurIPS 2021,
algorithm 1: w ← argmin ⟨m, w⟩ + R(w) + (w − w_t)ᵀC(w − w_t)/2a, m the average gradient, C the metric.
With C = 1 it is the proximal gradient method with momentum; the ProxSGD of Yang et al. (ICLR 2020) moves
a part of the way to such a point, and never reaches zero.
"""

import jax
import jax.numpy as jnp
import optax

from benchmarks.rivals.regularizers import on_kernels


def prox_sgd(regularizer, schedule, momentum=0.9):
    """m ← β·m + (1 − β)·g; w ← prox_{a·R}(w − a·m)."""

    def init(params):
        return jax.tree.map(jnp.zeros_like, params), jnp.zeros((), jnp.int32)

    def update(grads, state, params):
        mean, count = state
        rate = schedule(count)
        mean = jax.tree.map(lambda m, g: momentum * m + (1 - momentum) * g, mean, grads)
        moved = jax.tree.map(lambda w, m: w - rate * m, params, mean)
        new = on_kernels(lambda v: regularizer.metric_prox(v, jnp.ones_like(v), rate), moved)
        return jax.tree.map(jnp.subtract, new, params), (mean, count + 1)

    return optax.GradientTransformation(init, update)


def proxgen(regularizer, schedule):
    """C = √v̂ + ε, adam's."""
    adam = optax.scale_by_adam()

    def update(grads, state, params):
        steps, state = adam.update(grads, state)
        rate = schedule(state.count - 1)
        moved = jax.tree.map(lambda w, u: w - rate * u, params, steps)
        metric = jax.tree.map(lambda v: jnp.sqrt(v / (1 - 0.999**state.count)) + 1e-8, state.nu)
        new = on_kernels(lambda v, m: regularizer.metric_prox(v, m, rate), moved, metric)
        return jax.tree.map(jnp.subtract, new, params), state

    return optax.GradientTransformation(adam.init, update)
