"""The rule for exact zeros of one array: the direction an optimizer is fed, and what its step makes zero.

One piece of code for `penalized`, for Keras's `Penalized`, for `optimality`, and for
`Penalty.subgradient` and `Penalty.settle`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from penalties._numerics import widen


class Average(NamedTuple):
    """A running average of the gradient of one array, and the weight of the newest one in it.

    It has gathered for about 1/weight steps.
    """

    gradient: Array
    weight: Array


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
def settled(penalty: Any, w: Array, moved: Array, direction: Array, average: Average | None) -> Array:
    """`moved`, or exactly 0 (the center of what is `around` one) where the step from w crossed a kink."""
    if not penalty.kink:
        return moved
    settling = settles(penalty, w, moved, direction, average)
    return jnp.where(settling, penalty.settled_at(widen(w)).astype(moved.dtype), moved)


def settles(penalty: Any, w: Array, moved: Array, direction: Array, average: Average | None) -> Array:
    """Where the step from w to `moved` crossed a kink: bools that broadcast to w."""
    wide = widen(w)
    if average is not None:
        average = Average(widen(average.gradient), average.weight.astype(wide.real.dtype))
    return penalty.settles_at(wide, widen(moved).astype(wide.dtype), widen(direction), average)
