"""Gradual magnitude pruning, as in jaxpruner.

Zhu and Gupta, To prune, or not to prune: exploring the efficacy of pruning for model compression, 2017,
arXiv 1710.01878, equation 1 with s_i = 0; Lee et al., JaxPruner, 2023, arXiv 2304.14082. There each layer is
pruned to the same share; globally, the smallest weights of all are.
"""

import jax
import jax.numpy as jnp
import optax

EVERY = 10


def pruning(optimizer, share, steps, *, per_layer):
    """The optimizer's steps; until half of them the smallest weights become zero, and what is zero stays."""
    half = steps // 2

    def init(params):
        return (
            jax.tree.map(lambda w: jnp.ones_like(w, bool), params),
            jnp.zeros((), jnp.int32),
            optimizer.init(params),
        )

    def masks_of(params, now):
        sizes = [jnp.abs(w) for w in jax.tree.leaves(params) if w.ndim == 2]
        everything = jnp.concatenate([x.ravel() for x in sizes])

        def mask(w):
            pool = jnp.sort(jnp.abs(w).ravel() if per_layer else everything)
            last = jnp.round(now * pool.size).astype(jnp.int32)
            return jnp.abs(w) >= pool[jnp.clip(last, 0, pool.size - 1)]

        return jax.tree.map(lambda w: mask(w) if w.ndim == 2 else jnp.ones_like(w, bool), params)

    def update(grads, state, params):
        masks, count, inner = state
        count = count + 1
        steps_, inner = optimizer.update(grads, inner, params)
        moved = jax.tree.map(lambda w, u, m: jnp.where(m, w + u, 0), params, steps_, masks)
        now = share * (1 - (1 - jnp.minimum(count / half, 1)) ** 3)
        due = (count % EVERY == 0) & (count <= half)
        masks = jax.lax.cond(due, masks_of, lambda params, _: masks, moved, now)
        new = jax.tree.map(lambda w, m: jnp.where(m, w, 0), moved, masks)
        return jax.tree.map(jnp.subtract, new, params), (masks, count, inner)

    return optax.GradientTransformation(init, update)
