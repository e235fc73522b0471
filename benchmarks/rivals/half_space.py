"""Proximal steps first, then steps within the orthant or half-space: OBProx-SG and HSPG.

Chen et al., Orthant based proximal stochastic gradient method for ℓ1-regularized optimization, arXiv
2004.03639, algorithm 1, as OBProx-SG+: one switch; Half-space proximal stochastic gradient descent method for
group-sparsity regularized problems, arXiv 2009.12078, algorithm 1, with ε = 0.
"""

import jax
import jax.numpy as jnp
import optax

from benchmarks.rivals.regularizers import on_kernels


def half_space(regularizer, schedule, switch):
    """w ← prox_{a·R}(w − a·g) until the step `switch`; then w − a·∇F(w), zero where it leaves its side."""

    def init(params):
        return jnp.zeros((), jnp.int32)

    def update(grads, count, params):
        rate = schedule(count)

        def proximal(moved):
            return regularizer.metric_prox(moved, jnp.ones_like(moved), rate)

        def within(moved, w):
            moved = moved - rate * regularizer.gradient(w)
            return jnp.where(regularizer.same_side(w, moved), moved, 0)

        moved = jax.tree.map(lambda w, g: w - rate * g, params, grads)
        first, then = on_kernels(proximal, moved), on_kernels(within, moved, params)
        new = jax.tree.map(lambda a, b: jnp.where(count < switch, a, b), first, then)
        return jax.tree.map(jnp.subtract, new, params), count + 1

    return optax.GradientTransformation(init, update)
