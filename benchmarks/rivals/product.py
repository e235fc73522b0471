"""spred: the lasso as weight decay of two factors.

Ziyin and Wang, spred: solving L1 penalty with SGD, ICML 2023, arXiv 2210.01212: with w = u·v,
λ/2·(u² + v²) has the minima of λ·|w|. A product is hardly ever exactly zero: below 1e-6 it is shown as zero.
"""

import jax
import jax.numpy as jnp
import optax

from benchmarks.rivals.regularizers import on_kernels

SMALL = 1e-6


def spred(regularizer, optimizer):
    """Any optimizer on the factors; the weights are what the product is."""

    def init(params):
        left = on_kernels(lambda w: jnp.maximum(jnp.sqrt(jnp.abs(w)), 0.1), params)
        right = jax.tree.map(lambda w, u: w / u if w.ndim == 2 else jnp.ones_like(w), params, left)
        return (left, right), optimizer.init((left, right))

    def update(grads, state, params):
        (left, right), inner = state
        decay = regularizer.strength

        def of_right(g, u, v):
            return g * u + decay * v if g.ndim == 2 else jnp.zeros_like(g)

        slopes = (
            on_kernels(lambda g, u, v: g * v + decay * u, grads, left, right),
            jax.tree.map(of_right, grads, left, right),
        )
        steps, inner = optimizer.update(slopes, inner, (left, right))
        left, right = optax.apply_updates((left, right), steps)
        products = jax.tree.map(jnp.multiply, left, right)
        new = on_kernels(lambda w: jnp.where(jnp.abs(w) < SMALL, 0, w), products)
        return jax.tree.map(jnp.subtract, new, params), ((left, right), inner)

    return optax.GradientTransformation(init, update)
