"""JointPenalty: a penalty whose groups span leaves, worked on with the arrays of all of them at once."""

import abc
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
from jax import Array

from penalties._numerics import sum_scalars
from penalties._penalty.base import Order, Penalty
from penalties._penalty.composed import Around
from penalties._penalty.rule import Average, widened
from penalties._penalty.settling import SettlingPenalty
from penalties._tree.paths import Leaf

# What may come before a group norm in the prox of a sum.
_BEFORE_GROUPS = (Order.NON_NEGATIVE, Order.JOINT, Order.ABSOLUTE)


class JointPenalty(SettlingPenalty, abc.ABC):
    """A penalty with a rule for zeros whose groups span leaves: its formulas are of tuples of arrays.

    Where another penalty's `value_at`, `prox_at`, `subgradient_at` and `settles_at` are given one array, they
    are given here one for each leaf of a block, in the order of the block, and return as many.
    """

    spans_leaves = True

    @property
    @abc.abstractmethod
    def paths(self) -> tuple[str, ...]:
        """The paths of the leaves that it is of."""

    @abc.abstractmethod
    def blocks(self, leaves: Sequence[Leaf], chosen: Sequence[int]) -> Iterator[tuple[Self, tuple[int, ...]]]:
        """The penalty taken apart into what has no leaf in common, and the positions of its leaves.

        Args:
            leaves: all those of params.
            chosen: where those stand that are selected and trained; of others it is not.

        Raises:
            ValueError: params lack a leaf, or it has another shape.
        """

    @abc.abstractmethod
    def sizes_at(self, w: Any) -> Array:
        """The size of each group."""

    @abc.abstractmethod
    def slopes_at(self, w: Any) -> Array:
        """φ′ of these sizes; it may be one number if it does not depend on them."""

    @abc.abstractmethod
    def mask_at(self, of_groups: Array, w: Any) -> Any:
        """Bools of groups as bools that broadcast to w; False for a weight in no group."""

    def beside(self, single: tuple[Penalty | None, ...]) -> "Beside":
        """The sum with what else there is on each leaf of a block."""
        return Beside(self, single)

    def value_of_leaf(self, w: Any) -> Array:
        return self.value_at(widened(w))

    def settled_at(self, w: Any) -> Any:
        return jax.tree.map(jnp.zeros_like, w)


class Beside(NamedTuple):
    """A joint penalty and what else there is on its leaves, each by itself: their sum.

    As in a sum on one leaf, single weights come first, and groups after them.
    """

    joint: JointPenalty
    single: tuple[Penalty | None, ...]

    @property
    def kink(self) -> bool:
        """Whether a term has one."""
        return self.joint.kink or any(p is not None and p.kink for p in self.single)

    def scaled(self, factor: Any) -> "Beside":
        """Both times the factor."""
        return Beside(self.joint.scaled(factor), tuple(p and p.scaled(factor) for p in self.single))

    def value_at(self, w: Any) -> Array:
        values = [p.value_at(x) for p, x in zip(self.single, w, strict=True) if p is not None]
        return sum_scalars([self.joint.value_at(w), *values])

    def value_of_leaf(self, w: Any) -> Array:
        return self.value_at(widened(w))

    def prox_at(self, v: Any, step: Array) -> Any:
        for p in self.single:
            parts = [] if p is None else [part for term in p.terms_of_sum() for part in term.parts()]
            if any(part.order not in _BEFORE_GROUPS for part in parts):
                raise TypeError(self._no_closed_form(p, "prox"))
        z: Any = self._each(v, lambda p, x: p.prox_at(x, step.astype(x.real.dtype)))
        return self.joint.prox_at(z, step)

    def subgradient_at(self, w: Any, gradient: Any, average: Any) -> Any:
        self._check_kinks()
        gradient, average = (
            self._each(gradient, lambda p, w, g, a: p.subgradient_at(w, g, a), w, gradient, average),
            self._beyond_single(w, average),
        )
        return self.joint.subgradient_at(w, gradient, average)

    def settles_at(self, w: Any, moved: Any, direction: Any, average: Average | None) -> Any:
        self._check_kinks()
        nothing = tuple(jnp.zeros((1,) * x.ndim, jnp.bool_) for x in w)
        gradients = (None,) * len(w) if average is None else average.gradient

        def settles(p: Any, w: Array, moved: Array, direction: Array, gradient: Array | None) -> Array:
            if not p.kink:
                return jnp.zeros((1,) * w.ndim, jnp.bool_)
            if average is None:
                return p.settles_at(w, moved, direction, None)
            weight = average.weight.astype(w.real.dtype)
            return p.settles_at(w, moved, direction, Average(gradient, weight))

        single = self._each(nothing, settles, w, moved, direction, gradients)
        if not self.joint.kink:
            return single
        if average is not None:
            average = average._replace(gradient=self._beyond_single(w, average.gradient))
        together = self.joint.settles_at(w, moved, direction, average)
        return jax.tree.map(jnp.logical_or, single, together)

    def settled_at(self, w: Any) -> Any:
        return self.joint.settled_at(w)

    def _beyond_single(self, w: Any, average: Any) -> Any:
        """What the terms of single weights leave of the average."""
        return self._each(average, lambda p, w, a: p.subgradient_at(w, a, a), w, average)

    def _each(self, otherwise: Any, function: Callable[..., Array], *arrays: Any) -> tuple[Array, ...]:
        """The function of the penalty and the arrays of each leaf; `otherwise` where it has no other one."""
        arrays = arrays or (otherwise,)
        return tuple(
            other if p is None else function(p, *of_leaf)
            for p, other, *of_leaf in zip(self.single, otherwise, *arrays, strict=True)
        )

    def _check_kinks(self) -> None:
        for p in self.single:
            for term in () if p is None else p.terms_of_sum():
                if term.kink and (term.joint is not None or isinstance(term, Around)):
                    raise TypeError(self._no_closed_form(term, "rule for zeros"))

    def _no_closed_form(self, other: Any, what: str) -> str:
        return (
            f"the sum of {self.joint!r} and {other!r} on one leaf has no {what} in closed form: give each "
            "leaves of its own with `.on(...)`, or add one of them to the loss; an L2 on whole units is "
            "part of the penalty on their sizes, as in `Coupled(ElasticNet(l1, l2), units)`"
        )
