"""Constraints on single weights and on whole leaves: NonNegative, Box, balls, Simplex."""

from typing import final

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from penalties._family.elementwise import L1
from penalties._numerics import like, ratio
from penalties._penalty.base import Order, Penalty
from penalties._penalty.constraint import Constraint, check_joint, check_real
from penalties._penalty.fields import parameter
from penalties._penalty.strengths import Strength


@final
class NonNegative(Constraint):
    """w ≥ 0, for each weight; the projection is max(w, 0).

    Complex weights are a TypeError.

    >>> import jax.numpy as jnp
    >>> from penalties import NonNegative
    >>> NonNegative().prox(jnp.array([1.5, -0.5])).tolist()
    [1.5, 0.0]
    """

    order = Order.NON_NEGATIVE
    rounding = 0

    def project_at(self, w: Array) -> Array:
        check_real(self, w)
        return jnp.maximum(w, 0)

    def joint_axes(self, w: Array) -> tuple[int, ...]:
        return ()


def NonNegativeL1(strength: Strength) -> Penalty:
    """strength · Σw for weights w ≥ 0, infinite for others: `NonNegative() + L1(strength)`, by a name.

    Args:
        strength: λ ≥ 0. A number, an array that broadcasts to each leaf, or a tree of these.

    The prox is max(w − step·λ, 0). It is a constraint in part, so that no gradient keeps it: train with
    `proximal(NonNegativeL1(strength), step_size)`, or, for exact zeros with any optimizer, with
    `optax.chain(penalized(optimizer, L1(strength)), proximal(NonNegative()))`.

    >>> import jax.numpy as jnp
    >>> from penalties import L1, NonNegative, NonNegativeL1
    >>> penalty = NonNegativeL1(0.5)
    >>> penalty.prox(jnp.array([1.5, 0.25, -3.0]), step=1.0).tolist()
    [1.0, 0.0, 0.0]
    >>> penalty == NonNegative() + L1(0.5)
    True
    >>> float(penalty(jnp.array([1.5, 0.25]))), float(penalty(jnp.array([1.5, -0.25])))
    (0.875, inf)

    Source: Parikh and Boyd, Proximal algorithms (2014), section 6.5.2; scikit-learn's `Lasso(positive=True)`.
    """
    return NonNegative() + L1(strength)


@final
class Box(Constraint):
    """lower ≤ w ≤ upper, for each weight; the projection is a clip.

    Args:
        lower: a number, −∞ included, an array that broadcasts to each leaf, or a tree of these.
        upper: likewise, ≥ lower; `inf` for none.

    Raises:
        ValueError: lower > upper. Traced bounds in this order give NaN.

    Complex weights are a TypeError.

    >>> import jax.numpy as jnp
    >>> from penalties import Box
    >>> Box(-1.0, 0.5).prox(jnp.array([-3.0, 0.25, 2.0])).tolist()
    [-1.0, 0.25, 0.5]
    """

    lower: Strength = parameter(infinite=True, kw_only=False)
    upper: Strength = parameter(infinite=True, kw_only=False)

    order = Order.INTERVAL
    rounding = 0

    def __post_init__(self):
        super().__post_init__()
        check_ordered(self, "lower", "upper")

    def project_at(self, w: Array) -> Array:
        check_real(self, w)
        return jnp.clip(w, *ordered(self.lower, self.upper))

    def joint_axes(self, w: Array) -> tuple[int, ...]:
        return ()


@final
class LInfBall(Constraint):
    """max|w| ≤ radius: each weight for itself; the projection is a clip of the modulus.

    Args:
        radius: ≥ 0. A number, an array that broadcasts to each leaf, or a tree of these.

    >>> import jax.numpy as jnp
    >>> from penalties import LInfBall
    >>> LInfBall(1.0).prox(jnp.array([-3.0, 0.25])).tolist()
    [-1.0, 0.25]
    """

    radius: Strength = parameter(at_least=0, kw_only=False)

    order = Order.INTERVAL
    monotone = True
    rounding = 4  # of complex moduli

    def project_at(self, w: Array) -> Array:
        if not jnp.iscomplexobj(w):
            return jnp.clip(w, -self.radius, self.radius)
        size = jnp.abs(w)
        shorter = w * like(ratio(jnp.minimum(size, self.radius), size), w)
        return jnp.where(size <= self.radius, w, shorter)

    def joint_axes(self, w: Array) -> tuple[int, ...]:
        return ()


@final
class L1Ball(Constraint):
    """Σ|w| ≤ radius, for each leaf; the projection is soft thresholding, and gives exact zeros.

    Args:
        radius: ≥ 0, one for each leaf: a number, or a tree of numbers.

    The lasso in its first form: the loss under Σ|w| ≤ radius.

    >>> import jax.numpy as jnp
    >>> from penalties import L1Ball
    >>> L1Ball(1.0).prox(jnp.array([-3.0, 2.5, 0.25])).tolist()
    [-0.75, 0.25, 0.0]

    Source: Duchi, Shalev-Shwartz, Singer and Chandra, Efficient projections onto the ℓ1-ball for learning in
    high dimensions, ICML 2008.
    """

    radius: Strength = parameter(at_least=0, kw_only=False)

    monotone = True

    def project_at(self, w: Array) -> Array:
        check_joint(self.radius, w, self.joint_axes(w), "L1Ball.radius")
        size = jnp.abs(w)
        on_sphere = _on_simplex(size, self.radius)
        inside = jnp.sum(size) <= self.radius
        return jnp.where(inside, w, w * like(ratio(on_sphere, size), w))


@final
class Simplex(Constraint):
    """w ≥ 0 and Σw = total, for each leaf: weights of a mixture; the projection gives exact zeros.

    Args:
        total: ≥ 0, one for each leaf: a number, or a tree of numbers.

    Complex weights are a TypeError.

    >>> import jax.numpy as jnp
    >>> from penalties import Simplex
    >>> Simplex().prox(jnp.array([2.0, 1.5, -1.0])).tolist()
    [0.75, 0.25, 0.0]

    Source: as of `L1Ball`; the threshold is found by Michelot, A finite algorithm for finding the projection
    of a point onto the canonical simplex of Rⁿ, J. Optim. Theory Appl. 50 (1986).
    """

    total: Strength = parameter(default=1.0, at_least=0, kw_only=False)

    def project_at(self, w: Array) -> Array:
        check_real(self, w)
        check_joint(self.total, w, self.joint_axes(w), "Simplex.total")
        return _on_simplex(w, self.total)


def _on_simplex(w: Array, total: Array) -> Array:
    """argmin ‖z − w‖ over z ≥ 0, Σz = total: max(w − τ, 0).

    Not by optax's `projection_simplex`, which takes no total of 0, no empty array and no strict dtype
    promotion, loses the total's digits where w is large, and sorts.
    """
    if w.size == 0:
        return w
    below = w - jax.lax.stop_gradient(jnp.max(w))  # where the digits are: the support is within [−total, 0]
    support = _support(*jax.lax.stop_gradient((below, total)))
    excess = jnp.sum(jnp.where(support, below, jnp.zeros_like(below))) - total
    threshold = ratio(excess, jnp.sum(support).astype(w.dtype)) + 0 * total
    return jnp.maximum(below - threshold, 0)


def _support(below: Array, total: Array) -> Array:
    """Where the projection is positive: what is above a threshold that rises until no more falls out."""

    def fewer(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        support, count, _ = state
        excess = jnp.sum(jnp.where(support, below, jnp.zeros_like(below))) - total
        support = support & (below > ratio(excess, count.astype(below.dtype)))
        return support, jnp.sum(support), count

    first = below > -total
    return jax.lax.while_loop(lambda s: s[1] < s[2], fewer, fewer((first, jnp.sum(first), jnp.sum(first))))[0]


def check_ordered(penalty: Penalty, lower: str, upper: str) -> None:
    """Raises ValueError for concrete bounds of which the lower is the upper."""
    low, high = getattr(penalty, lower), getattr(penalty, upper)
    leaves = jax.tree.leaves((low, high))
    if len(leaves) != 2 or any(isinstance(leaf, Tracer) for leaf in leaves):
        return  # NaN tells, where the numbers are met
    try:
        np.broadcast_shapes(*map(np.shape, leaves))
    except ValueError:
        return  # they fit no leaf, or not the same
    with jax.ensure_compile_time_eval(), jax.numpy_dtype_promotion("standard"):
        if bool(jnp.any(leaves[0] > leaves[1])):
            name = type(penalty).__name__
            raise ValueError(
                f"{name}.{lower} is {low} and {name}.{upper} is {high}: expected {lower} ≤ {upper}"
            )


def ordered(lower: Array, upper: Array) -> tuple[Array, Array]:
    """The bounds, NaN where the lower is more than the upper."""
    return jnp.where(lower <= upper, lower, jnp.nan), upper
