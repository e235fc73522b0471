"""Linearized Bregman iterations: LinBreg with momentum, and AdaBreg.

Bungert, Roith, Tenbrinck and Burger, A Bregman learning framework for sparse neural networks, JMLR 23
(2022), algorithms 2 and 3, with δ = 1: v moves by the optimizer's step, and w = prox_R(v). They start from
few weights, and minimize the loss itself: the strength says how late a weight comes, not what is minimized.
"""

import jax
import jax.numpy as jnp
import optax

from benchmarks.rivals.regularizers import on_kernels


def bregman(regularizer, optimizer, density=1.0):
    """v ← v + the optimizer's step; w ← prox_R(v). A share `density` of the weights is there at the start."""

    def init(params):
        def thin(w):
            kept = jax.random.uniform(jax.random.key(0), w.shape) < density
            return jnp.where(kept, w, 0) / density**0.5

        start = on_kernels(thin, params)
        dual = on_kernels(lambda w: w + regularizer.gradient(w), start)
        return dual, optimizer.init(params)

    def update(grads, state, params):
        dual, inner = state
        steps, inner = optimizer.update(grads, inner, params)
        dual = optax.apply_updates(dual, steps)
        new = on_kernels(lambda v: regularizer.metric_prox(v, jnp.ones_like(v), 1.0), dual)
        return jax.tree.map(jnp.subtract, new, params), (dual, inner)

    return optax.GradientTransformation(init, update)
