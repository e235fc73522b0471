"""Penalties of whole groups of weights: any penalty of sizes on the size of a group."""

import abc
import operator
from typing import TYPE_CHECKING, Any, ClassVar, final

import jax
import jax.numpy as jnp
from jax import Array

from penalties._family.elementwise import L1
from penalties._numerics import like, mean_root, members, ratio
from penalties._penalty.base import Order, Penalty
from penalties._penalty.fields import nested, remade, static
from penalties._penalty.rule import Average
from penalties._penalty.settling import SettlingPenalty
from penalties._penalty.sizes import PenaltyOfSizes, SizePenalty
from penalties._penalty.strengths import Strength


class GroupPenalty(Penalty, abc.ABC):
    """R(w) = Σ_g |g|·φ(‖w_g‖₂/√|g|): the size of a group is the root mean square of its weights.

    For L1 that is λ·√|g|·‖w_g‖₂ and for L2 the ordinary L2; steps, and how far φ is from convex, are as for
    single weights.
    """

    monotone = True

    if TYPE_CHECKING:  # a static field of each subclass; here it would come before the strength
        axis: ClassVar[Any]

    @property
    @abc.abstractmethod
    def of_sizes(self) -> PenaltyOfSizes:
        """φ."""

    @property
    def kink(self) -> bool:
        """Whether φ has one."""
        return self.of_sizes.kink

    @property
    def flat(self) -> bool:
        """Whether φ is."""
        return self.of_sizes.flat

    @property
    def way_out(self) -> str:
        """What φ says to do where it has no rule for zeros."""
        return self.of_sizes.way_out

    @property
    def groups(self) -> int | tuple[int, ...]:
        """The axes along which groups are counted."""
        return self.axis

    @property
    def order(self) -> Order:
        """Where it stands in the prox of a sum."""
        order = self.of_sizes.order
        return Order.GROUPWISE if order == Order.ABSOLUTE else order

    def __post_init__(self):
        axes = self.axis if isinstance(self.axis, (tuple, list)) else (self.axis,)
        try:
            if any(isinstance(axis, bool) for axis in axes):
                raise TypeError
            axes = tuple(map(operator.index, axes))
        except TypeError:
            raise TypeError(
                f"{self.name_in_config}.axis is {self.axis!r}: expected an int or a tuple of ints"
            ) from None
        object.__setattr__(self, "axis", axes if isinstance(self.axis, (tuple, list)) else axes[0])
        super().__post_init__()

    def value_at(self, w: Array) -> Array:
        within, phi = self._within(w), self._phi(w)
        size = mean_root(w, within)
        value = phi.value_of(size)
        # Where the squares overflow a strength of 0 gives NaN: 0 · ∞.
        finite = phi.value_of(jnp.minimum(size, jnp.finfo(size.dtype).max))
        value = jnp.where((size == jnp.inf) & jnp.isnan(value), finite, value)
        return jnp.sum(members(w, within) * value)

    def prox_at(self, v: Array, step: Array) -> Array:
        within, phi = self._within(v), self._phi(v)
        step = self._per_group(step, v, "step")
        size = mean_root(v, within)
        new = phi.prox_of(size, step)
        # Where the squares overflow, or underflow, what is not moved is still not moved.
        whole = (new == size) & ((size > 0) | (step == 0) | (step * phi.half_width(v) == 0))
        return v * like(jnp.where(whole, 1, ratio(new, size)), v)

    def _phi(self, w: Array) -> Any:
        return jax.tree.map(lambda x: self._per_group(x, w, "strength"), self.of_sizes)

    def _within(self, w: Array) -> tuple[int, ...]:
        """The axes of w that are within a group."""
        if w.ndim == 0:
            return ()
        axes = (self.axis,) if isinstance(self.axis, int) else tuple(self.axis)
        if any(not -w.ndim <= axis < w.ndim for axis in axes):
            raise ValueError(
                f"{self.name_in_config}(axis={self.axis}) on a leaf of shape {w.shape}: expected axes "
                f"between {-w.ndim} and {w.ndim - 1}; select leaves that have this axis with `.on(...)`"
            )
        across = {axis % w.ndim for axis in axes}
        return tuple(axis for axis in range(w.ndim) if axis not in across)

    def _per_group(self, number: Array, w: Array, name: str) -> Array:
        if number.ndim and any(number.shape[axis] != 1 for axis in self._within(w)):
            raise ValueError(
                f"the {name} of shape {number.shape} varies within the groups of "
                f"{self.name_in_config}(axis={self.axis}) on a leaf of shape {w.shape}: give one "
                "number for each group, with length 1 along the axes within it"
            )
        return number


class SettlingGroupPenalty(GroupPenalty, SettlingPenalty, abc.ABC):
    """A penalty of groups whose φ has a finite slope at 0, and with it a rule for zeros."""

    def subgradient_at(self, w: Array, gradient: Array, average: Array) -> Array:
        within, phi = self._within(w), self._phi(w)
        size = mean_root(w, within)
        smooth = gradient + like(ratio(phi.slope_of(size), size), w) * w
        if not phi.kink:
            return smooth
        half_width, pull = phi.half_width(w), mean_root(average, within)
        beyond = ratio(pull - jnp.minimum(pull, half_width), pull)
        beyond = jnp.where((pull == jnp.inf) & (half_width < jnp.inf), 1, beyond)  # the squares overflow
        at_kink = (size == 0) & (half_width > 0)
        return jnp.where(at_kink, average * like(beyond, average), smooth)

    def settles_at(self, w: Array, moved: Array, direction: Array, average: Average | None) -> Array:
        within, phi = self._within(w), self._phi(w)
        half_width, size = phi.half_width(w), mean_root(w, within)
        nonzero = size > 0
        side = jnp.where(nonzero, w, -direction)
        zero = jnp.sum(jnp.real(moved * jnp.conj(side)), within, keepdims=True) <= 0
        if average is not None:
            pull = mean_root(average.gradient, within)
            # Near zero an optimizer that scales each weight by itself leaves the half-space though
            # zero is wrong, again and again; a group whose average says so is left to turn round.
            wrong = nonzero & (pull > half_width)
            zero = zero & ~wrong | nonzero & self._reaches_zero(phi, w, moved, direction, average)
        return zero & (half_width > 0)

    def _reaches_zero(
        self, phi: SizePenalty, w: Array, moved: Array, direction: Array, average: Average
    ) -> Array:
        """Whether zero is a prox-gradient step away, one as long as the average has been gathering.

        A noisy group shrinks without ever turning round. The step the optimizer has just made, s =
        ‖moved − w‖ / max(‖direction‖, φ′(0)) for each unit of gradient, taken for the 1/weight steps that
        the average ḡ stands for, lands at zero if ‖w‖ + (s/weight)·‖ḡ‖ < (s/weight)·φ′(‖w‖). At a nonzero
        stationary point ‖ḡ‖ = φ′(‖w‖), and it never does.
        """
        within = self._within(w)
        size, pull = mean_root(w, within), mean_root(average.gradient, within)
        per_gradient = jnp.maximum(mean_root(direction, within), phi.half_width(w))
        stride = mean_root(moved - w, within)
        return size * per_gradient * average.weight < stride * (phi.slope_of(size) - pull)


_LASSO = L1(0.0)


@final
class GroupLasso(SettlingGroupPenalty):
    """strength · Σ_g √|g| · ‖w_g‖₂: whole groups of weights become exactly zero together.

    Args:
        strength: λ ≥ 0; a number, or an array that has one entry for each group.
        axis: one group per index along this axis (or these axes); all other axes are within the
            group. The default, -1, makes each output unit of a kernel a group. Of a kernel stacked
            by `nn.scan`, of shape (layers, in, out), give (0, -1).

    A leaf without axes is one group. The gradient at a zero group is 0.

    On one layer of a ReLU network alone it has no minimum: the group shrinks, the next layer grows by as
    much, and the network stays the same. Give the next layer an L2:
    `GroupLasso(1e-2).on("first/kernel") + L2(1e-2).on("next/kernel")`.

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

    @property
    def of_sizes(self) -> SizePenalty:
        """The lasso, on sizes."""
        return remade(_LASSO, strength=self.strength)


class Grouped(GroupPenalty):
    """A penalty of single weights on whole groups: Σ_g |g|·φ(‖w_g‖₂/√|g|).

    Args:
        penalty: one of sizes: L1 (which gives `GroupLasso`), ElasticNet, MCP, SCAD, LogSum, Huber, or your
            own. Of one without a rule for zeros (L0, LHalf, LTwoThirds) it has none: train with `proximal`.
        axis: one group per index along this axis (or these axes), as in `GroupLasso`.

    >>> import jax.numpy as jnp
    >>> from penalties import MCP, Grouped
    >>> penalty = Grouped(MCP(1.0, gamma=3.0))
    >>> w = jnp.array([[3.0, 0.5], [4.0, 0.0]])
    >>> print(penalty.prox(w))  # a large group is not shrunk
    [[3. 0.]
     [4. 0.]]

    Source: Breheny and Huang, Group descent algorithms for nonconvex penalized linear and logistic
    regression models with grouped predictors, Stat. Comput. 25 (2015).
    """

    penalty: PenaltyOfSizes = nested()
    axis: int | tuple[int, ...] = static(-1)

    def __new__(cls, penalty: Penalty | None = None, *rest: Any, **named: Any) -> "Grouped":
        del rest, named
        return object.__new__(SettlingGrouped if isinstance(penalty, SizePenalty) else cls)

    def __post_init__(self):
        if not isinstance(self.penalty, PenaltyOfSizes):
            raise TypeError(
                f"Grouped got {self.penalty!r} of type {type(self.penalty).__name__}: expected one penalty "
                "of sizes, such as L1(0.1) or MCP(0.1); a sum or a selection goes around, as in "
                '`(Grouped(L1(0.1)) + Grouped(L2(0.1))).on("**/kernel")`'
            )
        super().__post_init__()

    @property
    def of_sizes(self) -> PenaltyOfSizes:
        """The penalty."""
        return self.penalty

    def parts(self) -> tuple[Penalty, ...]:
        return tuple(remade(self, penalty=part) for part in self.penalty.parts())


class SettlingGrouped(Grouped, SettlingGroupPenalty):
    """`Grouped` of a penalty that has a rule for zeros."""

    name_in_config = "Grouped"
