"""The average gradient that decides at zero, and the settled step, for one array."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from penalties._numerics import like, widen, wider
from penalties._penalty import rule
from penalties._penalty.rule import Average, direction
from penalties._penalty.strengths import is_number

__all__ = ["average_weight", "averaged", "check_average", "direction", "settled_update", "settled_weights"]


@jax.jit
def averaged(average: Array, gradient: Array, weight: Array, count: Array) -> Array:
    """The running average of the gradient, moved towards it by `weight`; skips what is not finite.

    The first weight is 1 (see `average_weight`), so that there is no bias to correct, and a skipped
    step changes nothing.
    Arithmetic is in the accumulator's dtype, whatever dtype the average is stored in; `count` is the
    number of the step.
    """
    wide, gradient = widen(average), widen(gradient)
    dtype = wider(wide, gradient)  # of float64 weights the average may be stored in less
    wide, gradient = wide.astype(dtype), gradient.astype(dtype)
    moved = wide + like(weight.astype(wide.real.dtype), wide) * (gradient - wide)
    moved = jnp.where(jnp.isfinite(moved), moved, wide)
    if average.dtype == jnp.bfloat16:
        return _dithered(moved.astype(jnp.float32), count)
    if average.dtype == jnp.float16:  # its largest number is small enough to be met
        largest = float(jnp.finfo(jnp.float16).max)
        moved = jnp.clip(moved, -largest, largest)
    return moved.astype(average.dtype)


def _dithered(x: Array, count: Array) -> Array:
    """float32 to bfloat16, rounded up or down so that over the steps the mean is right.

    To the nearest, an average would stop short: each step moves it by 1 % of what is missing, which
    is rounded away once that is less than 0.4 % of the average itself. The thresholds are multiples
    of the golden ratio, as evenly spread over any stretch of steps as they can be.
    """
    threshold = (count.astype(jnp.uint32) * 40503) & 0xFFFF  # 2¹⁶ / golden ratio
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32) + threshold
    # Cut off by a mask, and converted without rounding: a shift to 16 bits takes half as long again.
    cut = jax.lax.bitcast_convert_type(bits & jnp.uint32(0xFFFF0000), jnp.float32)
    return cut.astype(jnp.bfloat16)


@jax.jit
def settled_update(penalty: Any, w: Any, update: Any, direction: Any, average: Any, weight: Array) -> Any:
    """The update, or exactly −w where the step w + update crossed a kink; around a center, center − w.

    In the wider of the dtypes of w and update: −w must be exact for w + (−w) to be 0. To a center the way is
    exact where w is between a half and twice the center (Sterbenz), and from further away in the step after.
    """
    if not penalty.kink:
        return jax.tree.map(lambda w, update: update.astype(wider(w, update)), w, update)
    wide = rule.widened(w)
    moved = jax.tree.map(lambda wide, update: wide + widen(update).astype(wide.dtype), wide, update)
    settling = rule.settles(penalty, w, moved, direction, Average(average, weight))

    def settled(settles: Array, zero: Array, wide: Array, w: Array, update: Array) -> Array:
        dtype = wider(w, update)
        return jnp.where(settles, (zero - wide).astype(dtype), update.astype(dtype))

    return jax.tree.map(settled, settling, penalty.settled_at(wide), wide, w, update)


def settled_weights(penalty: Any, w: Any, moved: Any, direction: Any, average: Any, weight: Array) -> Any:
    """`moved`, or exactly 0 where the step from w crossed a kink."""
    return rule.settled(penalty, w, moved, direction, Average(average, weight))


def check_average(decay: Any, dtype: Any) -> None:
    """Raises TypeError or ValueError for a decay and a dtype that no average can be kept with."""
    if decay is not None and (not is_number(decay) or jnp.ndim(decay)):
        raise TypeError(
            f"decay is {decay!r} of type {type(decay).__name__}: expected a number such as 0.99, or None for "
            "a window that grows with the steps"
        )
    if decay is not None and not 0 <= np.float32(decay) < 1:
        raise ValueError(
            f"decay is {decay}: expected a number in [0, 1), less than 1 in float32, such as 0.99"
        )
    try:
        floating = dtype is None or (jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits >= 16)
    except TypeError:  # no dtype at all
        floating = False
    if not floating:
        raise TypeError(
            f"accumulator_dtype is {dtype!r}: expected a floating dtype of 16 bits or more such as "
            "jnp.bfloat16, or None for float32 (float64 for float64 leaves)"
        )


# On hard mini-batch lassos windows of a fifth to two thirds of all steps find the same support; shorter ones
# flicker, and with longer ones a weight that should come back does so only after as many steps again as
# were made. The first steps, far from the solution, are forgotten as fast as with a fixed decay.
DECAY, GROWS_AFTER, GROWTH = 0.99, 1000, 1 / 3


def average_weight(count: Array, decay: float | None) -> Array:
    """The weight of the gradient of step t = count + 1 in the average, in float32.

    With a decay (1 − decay)/(1 − decayᵗ), a window of 1/(1 − decay) steps for ever. Without one that of
    0.99 for 1,000 steps, after which the window grows by one step in three, so that the noise in the
    average vanishes and zeros come to rest.
    """
    step = count.astype(jnp.float32) + 1
    if decay is None:
        growth = GROWTH * jnp.maximum(step - GROWS_AFTER, 0)
        return 1 / (1 / average_weight(count, DECAY) + growth)
    # expm1, for 1 − decayᵗ loses digits where decay is near 1.
    log = jnp.log(jnp.asarray(decay, jnp.float32))
    return jnp.where(decay == 0, 1.0, jnp.expm1(log) / jnp.expm1(log * step))
