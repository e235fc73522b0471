"""The rule for exact zeros of one array: the direction an optimizer is fed, and what its step makes zero.

One piece of code for `penalized`, for Keras's `Penalized`, for `optimality`, and for
`Penalty.subgradient` and `Penalty.settle`. Where groups span leaves (`JointPenalty`), w and all that goes
with it are tuples of arrays.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from penalties._numerics import widen, wider


class Average(NamedTuple):
    """A running average of the gradient of one array, and the weight of the newest one in it.

    It has gathered for about 1/weight steps.
    """

    gradient: Any
    weight: Any


@jax.jit
def direction(penalty: Any, w: Any, gradient: Any, average: Any) -> Any:
    """What the optimizer is fed: the least-norm subgradient of loss + penalty.

    Where w is at a kink the average speaks for the gradient. A gradient that is not finite passes
    as it is, so that `optax.apply_if_finite` inside sees it.
    """
    wide = widened(gradient)
    least = penalty.subgradient_at(widened(w), wide, as_wide_as(average, wide))
    return jax.tree.map(
        lambda least, wide, given: jnp.where(jnp.isfinite(wide), least, wide).astype(given.dtype),
        least,
        wide,
        gradient,
    )


@jax.jit
def settled(penalty: Any, w: Any, moved: Any, direction: Any, average: Average | None) -> Any:
    """`moved`, or exactly 0 (the center of what is `around` one) where the step from w crossed a kink."""
    if not penalty.kink:
        return moved
    return jax.tree.map(
        lambda settles, zero, moved: jnp.where(settles, zero.astype(moved.dtype), moved),
        settles(penalty, w, moved, direction, average),
        penalty.settled_at(widened(w)),
        moved,
    )


def settles(penalty: Any, w: Any, moved: Any, direction: Any, average: Average | None) -> Any:
    """Where the step from w to `moved` crossed a kink: bools that broadcast to w."""
    wide = widened(w)
    if average is not None:
        dtype = max((x.real.dtype for x in jax.tree.leaves(wide)), key=lambda dtype: dtype.itemsize)
        average = Average(as_wide_as(average.gradient, wide), average.weight.astype(dtype))
    moved = jax.tree.map(lambda moved, w: widen(moved).astype(w.dtype), moved, wide)
    return penalty.settles_at(wide, moved, widened(direction), average)


def as_wide_as(average: Any, wide: Any) -> Any:
    """The average, which may be stored in any dtype, in one that goes with what is wide already."""
    return jax.tree.map(lambda average, x: average.astype(wider(average, x)), average, wide)


def widened(x: Any) -> Any:
    """One array, or each of a tuple, in its accumulator's dtype."""
    return jax.tree.map(widen, x)
