"""How exact zeros are reached, for one array: the average, the direction, the settled step.

The same three functions serve the optax transform and the Keras optimizer.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from penalties._numbers import widen, wider
from penalties._penalty import Average


@jax.jit
def averaged(average: Array, gradient: Array, weight: Array) -> Array:
    """The running average of the gradient, moved towards it by `weight`; skips what is not finite.

    With weight = (1 − decay)/(1 − decayᵗ) at step t = 1, 2, ... this is the bias-corrected
    exponential average itself: no correction is left to do, and a skipped step changes nothing.
    Arithmetic is in the accumulator's dtype, whatever dtype the average is stored in.
    """
    wide, gradient = widen(average), widen(gradient)
    moved = wide + weight.astype(wide.real.dtype) * (gradient - wide)
    return jnp.where(jnp.isfinite(gradient), moved, wide).astype(average.dtype)


@jax.jit
def direction(penalty: Any, w: Array, gradient: Array, average: Array) -> Array:
    """What the optimizer is fed: the least-norm subgradient of loss + penalty.

    Where w is at a kink the average speaks for the gradient. A gradient that is not finite passes
    as it is, so that `optax.apply_if_finite` inside sees it.
    """
    wide = widen(gradient)
    least = penalty.subgradient_at(widen(w), wide, widen(average))
    return jnp.where(jnp.isfinite(wide), least, wide).astype(gradient.dtype)


@jax.jit
def settled(penalty: Any, w: Array, update: Array, direction: Array, average: Array, weight: Array) -> Array:
    """The update, or exactly −w where the step w + update crossed a kink.

    In the wider of the dtypes of w and update: −w must be exact for w + (−w) to be 0.
    """
    wide = widen(w)
    moved = wide + widen(update).astype(wide.dtype)
    seen = Average(widen(average), weight.astype(wide.real.dtype))
    new = penalty.settle_at(wide, moved, widen(direction), seen)
    dtype = wider(w, update)
    return jnp.where(new == moved, update.astype(dtype), (new - wide).astype(dtype))


def average_weight(count: Array, decay: Any) -> Array:
    """(1 − decay)/(1 − decayᵗ) at step t = count + 1, in float32."""
    decay = jnp.asarray(decay, jnp.float32)
    # expm1, for 1 − decayᵗ loses digits where decay is near 1.
    log = jnp.log(decay)
    return jnp.where(decay == 0, 1.0, jnp.expm1(log) / jnp.expm1(log * (count + 1).astype(jnp.float32)))
