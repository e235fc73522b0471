"""Penalties of whole groups of weights: any penalty of sizes on the size of a group."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
from jax import Array

from penalties._family.elementwise import L1
from penalties._family.group_rule import (
    prox_of_groups,
    settling_groups,
    subgradient_of_groups,
    value_of_groups,
)
from penalties._family.partitioned import PartitionedPenalty
from penalties._family.thresholds import shrinkage
from penalties._numerics import like, safe_root, squared
from penalties._penalty.base import Order, Penalty
from penalties._penalty.fields import group_weights, is_word, nested, remade, static
from penalties._penalty.partitions import Partition
from penalties._penalty.rule import Average
from penalties._penalty.settling import SettlingPenalty
from penalties._penalty.sizes import PenaltyOfSizes, SizePenalty
from penalties._penalty.split import Split
from penalties._penalty.strengths import Strength


class GroupPenalty(PartitionedPenalty, abc.ABC):
    """R(w) = Σ_g ω_g²·φ(‖w_g‖₂/ω_g), ω the weights of groups: with ω = √|g| sizes are root mean squares.

    For L1 that is λ·ω_g·‖w_g‖₂ and for L2 the ordinary L2; steps, and how far φ is from convex, are as for
    single weights.
    """

    monotone = True

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
    def order(self) -> Order:
        """Where it stands in the prox of a sum."""
        order = self.of_sizes.order
        return Order.GROUPWISE if order == Order.ABSOLUTE else order

    def sizes_at(self, w: Array) -> Array:
        """The size of each group, ‖w_g‖₂/ω_g; of groups along axes, those within a group have length 1."""
        of, _, w = self._opened(w)
        return of.size(w)

    def slopes_at(self, w: Array) -> Array:
        """φ′ of these sizes; it may be smaller than they are if it does not depend on them."""
        of, phi, w = self._opened(w)
        return phi.slope_of(of.size(w))

    def value_at(self, w: Array) -> Array:
        of, phi, w = self._opened(w)
        return value_of_groups(of, phi, w)

    def prox_at(self, v: Array, step: Array) -> Array:
        of, phi, v = self._opened(v)
        # Of the lasso alone what is left of a norm is the root of one equation, whatever the steps.
        if of.split.varies(step) and isinstance(phi, L1):
            by = of.split.broadcast(step) * (phi.strength * of.weight)
            return of.split.restored(v * like(shrinkage(jnp.abs(v), by, of.split), v))
        step = self.per_group(of.split, step, "step")
        return of.split.restored(prox_of_groups(of, phi, v, step))

    def _opened(self, w: Array, *others: Array) -> tuple[Any, ...]:
        """The sizes of the groups of w, φ with the numbers of each group, and these arrays arranged."""
        split = self.split(w)
        weight = self.weight(split, w.real.dtype)
        # |g| and not (√|g|)²: to the last bit.
        by_root = is_word(self.weights) and self.weights == "sqrt"
        square = split.members(w.real.dtype) if by_root else weight * weight
        phi = jax.tree.map(lambda x: self.per_group(split, x, "strength"), self.of_sizes)
        return Sizes(split, weight, square), phi, *map(split.arranged, (w, *others))


class SettlingGroupPenalty(GroupPenalty, SettlingPenalty, abc.ABC):
    """A penalty of groups whose φ has a finite slope at 0, and with it a rule for zeros."""

    def subgradient_at(self, w: Array, gradient: Array, average: Array) -> Array:
        of, phi, w, gradient, average = self._opened(w, gradient, average)
        return of.split.restored(subgradient_of_groups(of, phi, w, gradient, average))

    def settles_at(self, w: Array, moved: Array, direction: Array, average: Average | None) -> Array:
        of, phi, w, moved, direction = self._opened(w, moved, direction)
        if average is not None:
            average = average._replace(gradient=of.split.arranged(average.gradient))
        return of.split.restored(settling_groups(of, phi, w, moved, direction, average))


class Sizes(NamedTuple):
    """The `Grouping` of an arranged array: sizes ‖x_g‖₂/ω_g, and what they are made of."""

    split: Split
    weight: Any  # ω
    square: Any  # ω²

    def size(self, x: Array) -> Array:
        """Of an arranged array, kept; with gradient 0 at a zero group."""
        return safe_root(self.split.sum(squared(x))) / self.weight

    def total(self, of_groups: Array) -> Array:
        return jnp.sum(self.split.once(self.square * of_groups))

    def inner(self, x: Array, y: Array) -> Array:
        return self.split.sum(jnp.real(x * jnp.conj(y)))

    def each(self, function: Callable[..., Array], of_groups: tuple[Array, ...], *arrays: Array) -> Array:
        return function(*of_groups, *arrays)

    def mask(self, of_groups: Array, w: Array) -> Array:
        return of_groups


_LASSO = L1(0.0)


@final
class GroupLasso(SettlingGroupPenalty):
    """strength · Σ_g ω_g·‖w_g‖₂, ω = √|g|: whole groups of weights become exactly zero together.

    Args:
        strength: λ ≥ 0; a number, or an array that has one entry for each group along `axis`; for groups of
            other shapes such numbers are `weights`.
        axis: one group per index along this axis (or these axes); all other axes are within the
            group. The default, -1, makes each output unit of a kernel a group. Of a kernel stacked
            by `nn.scan`, of shape (layers, in, out), give (0, -1).
        groups: other shapes of groups, in place of an axis: `leaves()`, `blocks(shape)`, `labels(tree)`, or
            `units(axis)`, which is the axis.
        weights: ω > 0: "sqrt" for √|g|, under which groups of all sizes become zero as easily; "size" for
            |g|; a number; or an array with one for each group, of shape (out,) with axis=-1, of the shape
            of the grid of blocks, in the order of sorted labels; or a tree of these.

    A leaf without axes is one group. The gradient at a zero group is 0. Steps of the prox may differ within
    groups, whose norm is the root of a scalar equation then. Norms are roots of sums of squares: of a group
    whose float32 weights are all below 1e-19 they underflow, and it is taken for zero.

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

    Raises:
        ValueError: a leaf has no such groups; a strength varies within them, or weights are not as many.

    Source: Yuan and Lin, Model selection and estimation in regression with grouped variables, JRSS
    B 68 (2006); the prox is block soft thresholding, Parikh and Boyd (2014), section 6.5.4.
    """

    strength: Strength
    axis: int | tuple[int, ...] | None = static(default=-1)
    groups: Partition | None = static(default=None, kw_only=True)
    weights: Any = group_weights(default="sqrt")

    @property
    def of_sizes(self) -> SizePenalty:
        """The lasso, on sizes."""
        return remade(_LASSO, strength=self.strength)


class Grouped(GroupPenalty):
    """A penalty of single weights on whole groups: Σ_g ω_g²·φ(‖w_g‖₂/ω_g), ω = √|g|.

    Args:
        penalty: one of sizes: L1 (which gives `GroupLasso`), ElasticNet, MCP, SCAD, LogSum, Huber, or your
            own. Of one without a rule for zeros (L0, LHalf, LTwoThirds) it has none: train with `proximal`.
        axis: one group per index along this axis (or these axes), as in `GroupLasso`.
        groups: other shapes of groups, in place of an axis, as in `GroupLasso`.
        weights: ω > 0, as in `GroupLasso`; with 1 it is φ(‖w_g‖₂), of an L2 it changes nothing.

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
    axis: int | tuple[int, ...] | None = static(default=-1)
    groups: Partition | None = static(default=None, kw_only=True)
    weights: Any = group_weights(default="sqrt")

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
        parts = self.penalty.parts()
        # Groups, whatever their weights, are all the same to a quadratic.
        return tuple(p if p.order == Order.QUADRATIC else remade(self, penalty=p) for p in parts)


class SettlingGrouped(Grouped, SettlingGroupPenalty):
    """`Grouped` of a penalty that has a rule for zeros."""

    name_in_config = "Grouped"
