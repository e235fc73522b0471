"""What a penalty of the sizes of groups is, however its groups lie in the weights."""

from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from penalties._numerics import like, ratio
from penalties._penalty.rule import Average


class Grouping(Protocol):
    """How groups lie in w, which is one array or a tuple of arrays.

    What is of groups are arrays of real numbers, one for each of them, which broadcast with each other.
    """

    def size(self, w: Any) -> Array:
        """‖w_g‖₂/ω_g, ω the weights of groups, with gradient 0 at a zero group."""
        ...

    def total(self, of_groups: Array) -> Array:
        """Σ_g ω_g²·x_g."""
        ...

    def inner(self, x: Any, y: Any) -> Array:
        """Re⟨x_g, y_g⟩."""
        ...

    def each(self, function: Callable[..., Array], of_groups: tuple[Array, ...], *arrays: Any) -> Any:
        """function(*of_groups, *arrays), for each weight with what is of its group.

        A weight in no group gets its entry of the last array.
        """
        ...

    def mask(self, of_groups: Array, w: Any) -> Any:
        """Bools of groups as bools that broadcast to w; False for a weight in no group."""
        ...


def value_of_groups(groups: Grouping, phi: Any, w: Any) -> Array:
    """Σ_g ω_g²·φ(‖w_g‖₂/ω_g)."""
    size = groups.size(w)
    value = phi.value_of(size)
    # Where the squares overflow a strength of 0 gives NaN: 0 · ∞.
    finite = phi.value_of(jnp.minimum(size, jnp.finfo(size.dtype).max))
    value = jnp.where((size == jnp.inf) & jnp.isnan(value), finite, value)
    return groups.total(value)


def prox_of_groups(groups: Grouping, phi: Any, v: Any, step: Array) -> Any:
    """The groups of v, each scaled to the prox of its size; the step is the same within groups."""
    size = groups.size(v)
    new = phi.prox_of(size, step)
    # Where the squares overflow, or underflow, what is not moved is still not moved.
    whole = (new == size) & ((size > 0) | (step == 0) | (step * phi.half_width(size) == 0))
    factor = jnp.where(whole, 1, ratio(new, size))
    return groups.each(lambda factor, v: v * like(factor, v), (factor,), v)


def subgradient_of_groups(groups: Grouping, phi: Any, w: Any, gradient: Any, average: Any) -> Any:
    """As `SettlingPenalty.subgradient_at`."""
    size = groups.size(w)
    slope = ratio(phi.slope_of(size), size)
    if not phi.kink:
        return groups.each(_plus_slope, (slope,), w, gradient)
    half_width, pull = phi.half_width(size), groups.size(average)
    beyond = jnp.maximum(1 - ratio(half_width, pull), 0)  # 1 where the squares overflow
    at_kink = (size == 0) & (half_width > 0)

    def least(
        slope: Array, beyond: Array, at_kink: Array, average: Array, w: Array, gradient: Array
    ) -> Array:
        return jnp.where(at_kink, average * like(beyond, average), _plus_slope(slope, w, gradient))

    return groups.each(least, (slope, beyond, at_kink), average, w, gradient)


def settling_groups(
    groups: Grouping, phi: Any, w: Any, moved: Any, direction: Any, average: Average | None
) -> Any:
    """As `SettlingPenalty.settles_at`."""
    size = groups.size(w)
    half_width, nonzero = phi.half_width(size), size > 0
    # Two sums, and no choice inside of one, for which XLA on CPU would store the whole array it sums.
    ahead = jnp.where(nonzero, groups.inner(moved, w), -groups.inner(moved, direction))
    zero = ahead <= 0
    if average is not None:
        pull = groups.size(average.gradient)
        # Near zero an optimizer that scales each weight by itself leaves the half-space though
        # zero is wrong, again and again; a group whose average says so is left to turn round.
        wrong = nonzero & (pull > half_width)
        zero = zero & ~wrong | nonzero & _reaches_zero(groups, phi, w, moved, direction, average, pull)
    return groups.mask(zero & (half_width > 0), w)


def _reaches_zero(
    groups: Grouping, phi: Any, w: Any, moved: Any, direction: Any, average: Average, pull: Array
) -> Array:
    """Whether zero is a prox-gradient step away, one as long as the average has been gathering.

    A noisy group shrinks without ever turning round. The step the optimizer has just made, s =
    ‖moved − w‖ / max(‖direction‖, φ′(0)) for each unit of gradient, taken for the 1/weight steps that
    the average ḡ stands for, lands at zero if ‖w‖ + (s/weight)·‖ḡ‖ < (s/weight)·φ′(‖w‖). At a nonzero
    stationary point the pull ‖ḡ‖ = φ′(‖w‖), and it never does.
    """
    size = groups.size(w)
    # Its squares are adam's, too, and XLA on CPU would store them for both.
    direction = jax.lax.optimization_barrier(direction)
    per_gradient = jnp.maximum(groups.size(direction), phi.half_width(size))
    stride = groups.size(jax.tree.map(jnp.subtract, moved, w))
    return size * per_gradient * average.weight < stride * (phi.slope_of(size) - pull)


def _plus_slope(slope: Array, w: Array, gradient: Array) -> Array:
    """gradient + φ′(‖w‖)·w/‖w‖."""
    return gradient + like(slope, w) * w
