"""JointPenalty: a penalty whose groups span leaves, and its rule for zeros."""

import abc
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from penalties._penalty.base import Order, Penalty
from penalties._penalty.composed import Around
from penalties._penalty.rule import Average
from penalties._penalty.settling import SettlingPenalty
from penalties._penalty.spanning import Beside, SpanningPenalty


class JointPenalty(SettlingPenalty, SpanningPenalty, abc.ABC):
    """A penalty with a rule for zeros whose groups span leaves: its formulas are of tuples of arrays.

    Where another penalty's `subgradient_at` and `settles_at` are given one array, they are given here one for
    each leaf of a block, in the order of the block, and return as many.
    """

    # What may come before a group norm in the prox of a sum.
    follows = (Order.NON_NEGATIVE, Order.JOINT, Order.ABSOLUTE)
    way_out_of_sums = (
        "; an L2 on whole units is part of the penalty on their sizes, as in "
        "`Coupled(ElasticNet(l1, l2), units)`"
    )

    @abc.abstractmethod
    def sizes_at(self, w: Any) -> Array:
        """The size of each group."""

    @abc.abstractmethod
    def slopes_at(self, w: Any) -> Array:
        """φ′ of these sizes; it may be one number if it does not depend on them."""

    @abc.abstractmethod
    def mask_at(self, of_groups: Array, w: Any) -> Any:
        """Bools of groups as bools that broadcast to w; False for a weight in no group."""

    def beside(self, single: tuple[Penalty | None, ...]) -> "SettlingBeside":
        return SettlingBeside(self, single)

    def all_in_groups(self, mask: Any) -> Array:
        return self.sizes_at(tuple((~x).astype(jnp.float32) for x in mask)) == 0

    def settled_at(self, w: Any) -> Any:
        return jax.tree.map(jnp.zeros_like, w)


class SettlingBeside(Beside):
    """A joint penalty and what else there is on its leaves, each by itself: their sum.

    As in a sum on one leaf, single weights come first, and groups after them.
    """

    def subgradient_at(self, w: Any, gradient: Any, average: Any) -> Any:
        self._check_kinks()
        gradient, average = (
            self.each(gradient, lambda p, w, g, a: p.subgradient_at(w, g, a), w, gradient, average),
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

        single = self.each(nothing, settles, w, moved, direction, gradients)
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
        return self.each(average, lambda p, w, a: p.subgradient_at(w, a, a), w, average)

    def _check_kinks(self) -> None:
        for p in self.single:
            for term in () if p is None else p.terms_of_sum():
                if term.kink and (term.joint is not None or isinstance(term, Around)):
                    raise TypeError(self.no_closed_form(term, "rule for zeros"))
