"""Constraint: a set of weights, which a penalty is whose value is 0 or infinite."""

import abc
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
from jax import Array

from penalties._numerics import accumulator, widen
from penalties._penalty.base import Penalty


class Constraint(Penalty, abc.ABC):
    """A set C of weights: the value is 0 in C and ∞ outside, the prox is the projection on C.

    To write one, subclass and give the projection of one array, `project_at`; numbers are `parameter`,
    anything else `static`. Where weights are bound together in parts only, or each by itself, give
    `joint_axes`, too.

    - `constraint(params)` is 0 if params are in C up to the rounding of their dtypes, else ∞, and NaN where
      they are. Its gradient is 0 on either side: in a loss it does nothing but say that it is violated.
    - `constraint.prox(params, step)` is the nearest point of C, whatever the step, 0 included. What is in C
      up to rounding is returned as it is, bit for bit; of leaves of 16 bits, what is in C up to the rounding
      of float32, in which it is computed.
    - Factors change nothing, 0 included: `2 * constraint` is `constraint`.
    - Training with it is `optax.chain(optimizer, penalties.proximal(constraint))`, without a step size.

    >>> import jax.numpy as jnp
    >>> from penalties import Constraint, parameter
    >>> class AtLeast(Constraint):
    ...     lower: float = parameter(kw_only=False)
    ...     def project_at(self, w):
    ...         return jnp.maximum(w, self.lower)
    ...     def joint_axes(self, w):
    ...         return ()
    >>> constraint = AtLeast(0.5)
    >>> constraint.prox(jnp.array([0.25, 2.0])).tolist()
    [0.5, 2.0]
    >>> float(constraint(jnp.array([0.25, 2.0]))), float(constraint(jnp.array([0.5, 2.0])))
    (inf, 0.0)

    Source: Parikh and Boyd, Proximal algorithms (2014), section 1.2; the indicator function of a set.
    """

    flat = True
    rounding: ClassVar[float] = 16  # of `project_at`, in ε of the largest of the joint weights
    way_out: ClassVar[str] = (
        "a constraint is kept by projections, `optax.chain(optimizer, penalties.proximal(constraint))`; with "
        "exact zeros, too, by `optax.chain(penalized(optimizer, penalty), proximal(constraint))`"
    )

    @abc.abstractmethod
    def project_at(self, w: Array) -> Array:
        """The point of C nearest to one array, which is float32 (float64 for float64 leaves) or complex."""

    def joint_axes(self, w: Array) -> tuple[int, ...]:
        """The axes of w within which weights are bound together: by default all, () for each by itself."""
        return tuple(range(w.ndim))

    def is_near(self, w: Array, projected: Array, dtype: jnp.dtype) -> Array:
        """Whether w is in C, up to the rounding of this dtype, given its projection: bools."""
        axes = self.joint_axes(w)
        narrow, wide = (float(jnp.finfo(d).eps) for d in (dtype, accumulator(dtype)))
        # Infinite ones would be NaN apart.
        apart = jnp.where(w == projected, jnp.zeros((), w.real.dtype), jnp.abs(w - projected))
        allowed = (narrow + self.rounding * wide) * _largest(jnp.abs(projected), axes)
        furthest = _largest(apart, axes)
        return (furthest <= allowed) & (furthest < jnp.inf)

    def value_of_leaf(self, w: Array) -> Array:
        return self._indicator(widen(w), w.dtype)

    def value_at(self, w: Array) -> Array:
        return self._indicator(w, w.dtype)

    def prox_at(self, v: Array, step: Array) -> Array:
        check_joint(step, v, self.joint_axes(v), f"the step, or a strength beside {type(self).__name__}")
        new = self.project_at(v)
        new = _projected(self.is_near(v, new, v.dtype), v, new)
        # Traced steps out of range are NaN.
        return jnp.where(jnp.isnan(step), jnp.full((), jnp.nan, new.dtype), new)

    def scaled(self, factor: Any) -> Self:
        """The constraint: a multiple of 0 or ∞ is what it was."""
        del factor
        return self

    def _indicator(self, w: Array, dtype: jnp.dtype) -> Array:
        fixed, point = jax.lax.stop_gradient((self, w))
        new = fixed.project_at(point)
        outside = jnp.where(jnp.any(jnp.isnan(new) & jnp.isfinite(point)), jnp.nan, jnp.inf)
        return indicator(jnp.all(fixed.is_near(point, new, dtype)), w, outside)


def indicator(inside: Array, w: Array, outside: Any = jnp.inf) -> Array:
    """0 if w is inside, else what it is outside, of the real dtype of w."""
    value = jnp.where(inside, 0.0, outside).astype(w.real.dtype)
    # NaN is no point at all: value and gradient say so.
    nan = jnp.where(jnp.isnan(w), w, jnp.zeros_like(w))
    return value + jnp.sum(jnp.real(nan * jnp.conj(nan)))


@jax.custom_jvp
def _projected(is_near: Array, w: Array, projected: Array) -> Array:
    """`projected`, and w itself where it is near, with the derivative of `projected` for both."""
    return jnp.where(is_near, w, projected)


@_projected.defjvp
def _projected_jvp(primals, tangents):
    return _projected(*primals), tangents[2]


def _largest(sizes: Array, axes: tuple[int, ...]) -> Array:
    return jnp.max(sizes, axes, keepdims=True, initial=0.0)


def check_joint(number: Array, w: Array, axes: tuple[int, ...], name: str) -> None:
    """Raises ValueError for an array that varies among weights that are bound together."""
    if number.ndim and any(number.shape[axis] != 1 for axis in axes):
        raise ValueError(
            f"{name}: an array of shape {number.shape} varies among weights that are bound together, in a "
            f"leaf of shape {w.shape}: give one number for them, with length 1 along the axes {axes}"
        )


def check_real(constraint: Constraint, w: Array) -> None:
    """Raises TypeError for complex weights, of which none is less than another."""
    if jnp.iscomplexobj(w):
        raise TypeError(
            f"{constraint!r} on complex weights, which have no order: select real leaves with `.on(...)`, or "
            "constrain moduli, with LInfBall, L2Ball or MaxNorm"
        )


def refuse_flat(penalty: Penalty, by: str) -> None:
    """Raises TypeError, with a way out, if the gradient of a term of the penalty says nothing."""
    for atom, _ in penalty.atoms():
        if atom.flat:
            what = "constraint" if isinstance(atom, Constraint) else "penalty"
            raise TypeError(
                f"{by} got the {what} {atom!r}, whose gradient is 0 wherever there is one: {atom.way_out}"
            )


def is_constraint(penalty: Penalty) -> bool:
    """Whether a penalty is made of constraints only."""
    return all(isinstance(atom, Constraint) for atom, _ in penalty.atoms())
