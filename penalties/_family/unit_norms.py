"""Constraints on Euclidean norms, of units or of whole leaves: MaxNorm, UnitNorm, MinMaxNorm, L2Ball."""

import abc
from typing import TYPE_CHECKING, Any, ClassVar, final

import jax
import jax.numpy as jnp
from jax import Array

from penalties._family.constraints import check_ordered, ordered
from penalties._numerics import like, members, norm, ratio, square_root
from penalties._penalty.axes import checked_axes
from penalties._penalty.base import Order
from penalties._penalty.constraint import Constraint, check_joint
from penalties._penalty.fields import parameter, static
from penalties._penalty.partitions import Units
from penalties._penalty.strengths import Strength


class _NormConstraint(Constraint, abc.ABC):
    """low ≤ ‖w_u‖₂ ≤ high for each unit u: each is made longer or shorter, and keeps its direction."""

    rounding = 4

    if TYPE_CHECKING:  # a static field of each subclass; here it would come before the radius
        axis: ClassVar[Any]

    def __post_init__(self):
        object.__setattr__(self, "axis", checked_axes(self))
        super().__post_init__()

    def joint_axes(self, w: Array) -> tuple[int, ...]:
        if w.ndim == 0:
            return ()
        axes = (self.axis,) if isinstance(self.axis, int) else tuple(self.axis)
        if any(not -w.ndim <= axis < w.ndim for axis in axes):
            raise ValueError(
                f"{type(self).__name__}(axis={self.axis}) on a leaf of shape {w.shape}: expected axes "
                f"between {-w.ndim} and {w.ndim - 1}; select leaves that have this axis with `.on(...)`"
            )
        across = {axis % w.ndim for axis in axes}
        return tuple(axis for axis in range(w.ndim) if axis not in across)

    def _between(self, w: Array, low: Array, high: Array) -> Array:
        axes = self.joint_axes(w)
        for bound in (low, high):
            check_joint(bound, w, axes, f"a norm of {type(self).__name__}(axis={self.axis})")
        return with_norm(w, axes, low, high)


def with_norm(w: Array, axes: tuple[int, ...], low: Array, high: Array) -> Array:
    """The nearest array whose norms along these axes are within [low, high]."""
    # Divided first, for squares overflow and underflow.
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(w), axes, keepdims=True, initial=0.0))
    scale = jnp.where(largest == 0, jnp.ones_like(largest), largest)
    direction = w / like(scale, w)
    length = norm(direction, axes)
    size = scale * length
    wanted = jnp.clip(size, low, high)
    new = direction * like(ratio(wanted, length), w)
    # All directions are as near to a zero unit: it gets equal weights.
    equal = jnp.broadcast_to(wanted / square_root(members(w, axes)), w.shape).astype(w.dtype)
    return jnp.where(wanted == size, w, jnp.where(length == 0, equal, new))


@final
class MaxNorm(_NormConstraint):
    """‖w_u‖₂ ≤ radius for each unit u: longer ones are scaled down, all others stay as they are.

    Args:
        radius: ≥ 0; a number, or an array that has one entry for each unit.
        axis: one unit per index along this axis (or these axes), as in `GroupLasso`: the default, -1, makes
            each output unit of a kernel a unit. `keras.constraints.MaxNorm(r, axis=0)` of a Dense kernel,
            whose axis is the one that is summed, is `MaxNorm(r)`.

    >>> import jax.numpy as jnp
    >>> from penalties import MaxNorm
    >>> print(MaxNorm(1.0).prox(jnp.array([[3.0, 0.5], [4.0, 0.0]])))
    [[0.6 0.5]
     [0.8 0. ]]

    Source: Srebro, Rennie and Jaakkola, Maximum-margin matrix factorization, NIPS 2004; Srivastava et al.,
    Dropout, JMLR 15 (2014), section 5.1.
    """

    radius: Strength = parameter(at_least=0, kw_only=False)
    axis: int | tuple[int, ...] = static(default=-1)

    order = Order.BALL
    monotone = True

    @property
    def joint(self) -> Units:
        """The units."""
        return Units(self.axis)

    def project_at(self, w: Array) -> Array:
        return self._between(w, jnp.zeros_like(self.radius), self.radius)


@final
class UnitNorm(_NormConstraint):
    """‖w_u‖₂ = 1 for each unit u.

    Args:
        axis: one unit per index along this axis (or these axes), as in `MaxNorm`.

    To a zero unit all directions are as near: it gets equal weights, 1/√n each.

    >>> import jax.numpy as jnp
    >>> from penalties import UnitNorm
    >>> print(UnitNorm().prox(jnp.array([[3.0, 0.5], [4.0, 0.0]])))
    [[0.6 1. ]
     [0.8 0. ]]
    """

    axis: int | tuple[int, ...] = static(default=-1)

    def project_at(self, w: Array) -> Array:
        one = jnp.ones((), w.real.dtype)
        return self._between(w, one, one)


@final
class MinMaxNorm(_NormConstraint):
    """lower ≤ ‖w_u‖₂ ≤ upper for each unit u.

    Args:
        lower: ≥ 0; a number, or an array that has one entry for each unit.
        upper: ≥ lower; likewise.
        axis: one unit per index along this axis (or these axes), as in `MaxNorm`.

    To a zero unit all directions are as near: it gets equal weights, lower/√n each.

    Raises:
        ValueError: lower > upper. Traced bounds in this order give NaN.

    >>> import jax.numpy as jnp
    >>> from penalties import MinMaxNorm
    >>> print(MinMaxNorm(1.0, 2.0).prox(jnp.array([[3.0, 0.5], [4.0, 0.0]])))
    [[1.2 1. ]
     [1.6 0. ]]
    """

    lower: Strength = parameter(at_least=0, kw_only=False)
    upper: Strength = parameter(at_least=0, kw_only=False)
    axis: int | tuple[int, ...] = static(default=-1)

    def __post_init__(self):
        super().__post_init__()
        check_ordered(self, "lower", "upper")

    def project_at(self, w: Array) -> Array:
        return self._between(w, *ordered(self.lower, self.upper))


@final
class L2Ball(Constraint):
    """‖w‖₂ ≤ radius, for each leaf: `MaxNorm` of the whole leaf.

    Args:
        radius: ≥ 0, one for each leaf: a number, or a tree of numbers.

    >>> import jax.numpy as jnp
    >>> from penalties import L2Ball
    >>> print(L2Ball(1.0).prox(jnp.array([3.0, 4.0])))
    [0.6 0.8]
    """

    radius: Strength = parameter(at_least=0, kw_only=False)

    order = Order.BALL
    monotone = True
    rounding = 4

    def project_at(self, w: Array) -> Array:
        check_joint(self.radius, w, self.joint_axes(w), "L2Ball.radius")
        return with_norm(w, self.joint_axes(w), jnp.zeros_like(self.radius), self.radius)
