"""Penalties of whole groups of weights: GroupLasso."""

import math
import operator
from typing import final

import jax.numpy as jnp
from jax import Array

from penalties._numerics import like, norm, ratio, square_root
from penalties._penalty.base import Average, Order, SettlingPenalty
from penalties._penalty.fields import static
from penalties._penalty.strengths import Strength


@final
class GroupLasso(SettlingPenalty):
    """strength · Σ_g √|g| · ‖w_g‖₂: whole groups of weights become exactly zero together.

    Args:
        strength: λ ≥ 0; a number, or an array that has one entry for each group.
        axis: one group per index along this axis (or these axes); all other axes are within the
            group. The default, -1, makes each output unit of a kernel a group. Of a kernel stacked
            by `nn.scan`, of shape (layers, in, out), give (0, -1).

    A leaf without axes is one group. The gradient at a zero group is 0.

    >>> import jax.numpy as jnp
    >>> from penalties import GroupLasso
    >>> penalty = GroupLasso(1.0)
    >>> w = jnp.array([[3.0, 0.5], [4.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    >>> float(penalty(w))  # √4 · (5 + 0.5)
    11.0
    >>> print(penalty.prox(w, step=0.5))
    [[2.4 0. ]
     [3.2 0. ]
     [0.  0. ]
     [0.  0. ]]

    Source: Yuan and Lin, Model selection and estimation in regression with grouped variables, JRSS
    B 68 (2006); the prox is block soft thresholding, Parikh and Boyd (2014), section 6.5.4.
    """

    strength: Strength
    axis: int | tuple[int, ...] = static(-1)

    order = Order.GROUPWISE

    def __post_init__(self):
        super().__post_init__()
        axes = self.axis if isinstance(self.axis, (tuple, list)) else (self.axis,)
        try:
            if any(isinstance(axis, bool) for axis in axes):
                raise TypeError
            axes = tuple(map(operator.index, axes))
        except TypeError:
            raise TypeError(f"GroupLasso.axis is {self.axis!r}: expected an int or a tuple of ints") from None
        object.__setattr__(self, "axis", axes if isinstance(self.axis, (tuple, list)) else axes[0])

    def value_at(self, w: Array) -> Array:
        threshold, size = self._threshold(w), norm(w, self._within(w))
        # 0, not NaN, for strength 0 and squares that overflow.
        return jnp.sum(jnp.where((threshold == 0) & (size == jnp.inf), 0, threshold * size))

    def prox_at(self, v: Array, step: Array) -> Array:
        return block_soft_threshold(v, self._per_group(step, v, "step") * self._threshold(v), self._within(v))

    def subgradient_at(self, w: Array, gradient: Array, average: Array) -> Array:
        within, threshold = self._within(w), self._threshold(w)
        size = norm(w, within)
        at_zero = block_soft_threshold(average, threshold, within)
        at_kink = (size == 0) & (threshold > 0)
        return jnp.where(at_kink, at_zero, gradient + like(ratio(threshold, size), w) * w)

    def settle_at(self, w: Array, moved: Array, direction: Array, average: Average | None) -> Array:
        within = self._within(w)
        nonzero = norm(w, within) > 0
        side = jnp.where(nonzero, w, -direction)
        zero = jnp.sum(jnp.real(moved * jnp.conj(side)), within, keepdims=True) <= 0
        if average is not None:
            # Near zero an optimizer that scales each weight by itself leaves the half-space though
            # zero is wrong, again and again; a group whose average says so is left to turn round.
            wrong = norm(average.gradient, within) > self._threshold(w)
            zero = zero & ~(nonzero & wrong) | nonzero & self._reaches_zero(w, moved, direction, average)
        return jnp.where(zero & (self._threshold(w) > 0), jnp.zeros_like(moved), moved)

    def _reaches_zero(self, w: Array, moved: Array, direction: Array, average: Average) -> Array:
        """Whether zero is a prox-gradient step away, one as long as the average has been gathering.

        A noisy group shrinks without ever turning round. The step the optimizer has just made, s =
        ‖moved − w‖ / max(‖direction‖, λ) for each unit of gradient, taken for the 1/weight steps that
        the average ḡ stands for, lands at zero if ‖w‖ + (s/weight)·‖ḡ‖ < (s/weight)·λ. At a nonzero
        stationary point ‖ḡ‖ = λ, and it never does.
        """
        within, threshold = self._within(w), self._threshold(w)
        short = threshold - norm(average.gradient, within)
        per_gradient = jnp.maximum(norm(direction, within), threshold)
        return norm(w, within) * per_gradient * average.weight < norm(moved - w, within) * short

    def _within(self, w: Array) -> tuple[int, ...]:
        """The axes of w that are within a group."""
        if w.ndim == 0:
            return ()
        axes = (self.axis,) if isinstance(self.axis, int) else tuple(self.axis)
        if any(not -w.ndim <= axis < w.ndim for axis in axes):
            raise ValueError(
                f"GroupLasso(axis={self.axis}) on a leaf of shape {w.shape}: expected axes between "
                f"{-w.ndim} and {w.ndim - 1}; select leaves that have this axis with `.on(...)`"
            )
        across = {axis % w.ndim for axis in axes}
        return tuple(axis for axis in range(w.ndim) if axis not in across)

    def _threshold(self, w: Array) -> Array:
        members = math.prod(w.shape[axis] for axis in self._within(w))
        return self._per_group(self.strength, w, "strength") * square_root(members)

    def _per_group(self, number: Array, w: Array, name: str) -> Array:
        if number.ndim and any(number.shape[axis] != 1 for axis in self._within(w)):
            raise ValueError(
                f"the {name} of shape {number.shape} varies within the groups of "
                f"GroupLasso(axis={self.axis}) on a leaf of shape {w.shape}: give one "
                "number for each group, with length 1 along the axes within it"
            )
        return number


def block_soft_threshold(x: Array, threshold: Array, within: tuple[int, ...]) -> Array:
    """x · max(1 − threshold / ‖x‖, 0), the norm taken over the axes `within`; NaN stays NaN."""
    size = norm(x, within)
    factor = ratio(size - jnp.minimum(size, threshold), size)
    # Where the squares in the norm overflow, or underflow, the factor is still 1.
    whole = (threshold == 0) | ((size == jnp.inf) & (threshold < jnp.inf))
    return x * like(jnp.where(whole, 1, factor), x)
