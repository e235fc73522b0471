"""Sums and selections of penalties: what `p + q` and `p.on(...)` make."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, cast

import jax.numpy as jnp
from jax import Array

from penalties._penalty.base import Order, Penalty
from penalties._penalty.composed import Around
from penalties._penalty.fields import nested, static
from penalties._penalty.rule import Average
from penalties._penalty.settling import SettlingPenalty
from penalties._tree.selection import Selector, weights


class Sum(Penalty):
    """The sum of several penalties: what `p + q` makes."""

    terms: tuple[Penalty, ...] = nested()

    def __new__(cls, terms: Sequence[Penalty] | None = None) -> "Sum":
        # Without terms a copy is made, of the class that it is of.
        settling = terms is not None and all(isinstance(term, SettlingPenalty) for term in terms)
        return object.__new__(SettlingSum if settling else cls)

    def terms_of_sum(self) -> tuple[Penalty, ...]:
        return self.terms

    def atoms(self) -> Iterator[tuple[Penalty, tuple["Selected", ...]]]:
        for term in self.terms:
            yield from term.atoms()

    def value_at(self, w: Array) -> Array:
        return sum((term.value_at(w) for term in self.terms[1:]), self.terms[0].value_at(w))

    def value_of_leaf(self, w: Array) -> Array:
        return sum((term.value_of_leaf(w) for term in self.terms[1:]), self.terms[0].value_of_leaf(w))

    def prox_at(self, v: Array, step: Array) -> Array:
        parts = self._in_order_of_proxes()
        for i, part in enumerate(parts):
            for later in parts[i + 1 :]:
                part.require_prox_with(later, v)
            v = part.prox_at(v, step)
            if part.order == Order.QUADRATIC:
                # prox_{t(R + q‖·‖²)}(v) = prox_{t'R}(v/(1 + 2tq)) with t' = t/(1 + 2tq), and the
                # prox of a quadratic is that division.
                step = part.prox_at(step, step)
        return v

    def _in_order_of_proxes(self) -> list[Penalty]:
        parts = sorted((part for term in self.terms for part in term.parts()), key=lambda p: p.order)
        orders = [part.order for part in parts]
        kinks = [order for order in orders if order > Order.NON_NEGATIVE]
        last = [order for order in kinks if order > Order.GROUPWISE]
        groups = {part.joint for part in parts if part.order > Order.QUADRATIC and part.joint is not None}
        if (
            len(groups) > 1
            or len(last) > 1
            or (Order.JOINT in kinks and last)
            or (Order.ALONE in kinks and len(kinks) > 1)
            or (Order.INTERVAL in kinks and Order.GROUPWISE in kinks)
            or (Order.NON_NEGATIVE in orders and not all(_allows_non_negative(part) for part in parts))
        ):
            raise TypeError(_no_closed_form(parts, "prox"))
        return parts

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.terms))


class SettlingSum(Sum, SettlingPenalty):
    """A sum whose terms all have a rule for exact zeros, and which therefore has one."""

    name_in_config = "Sum"

    @property
    def kink(self) -> bool:
        """Whether a term has one."""
        return any(term.kink for term in self._settling)

    @property
    def _settling(self) -> tuple[SettlingPenalty, ...]:
        return cast(tuple[SettlingPenalty, ...], self.terms)

    def subgradient_at(self, w: Array, gradient: Array, average: Array) -> Array:
        for term in self._in_order_of_kinks():
            gradient, average = (
                term.subgradient_at(w, gradient, average),
                term.subgradient_at(w, average, average),
            )
        return gradient

    def settles_at(self, w: Array, moved: Array, direction: Array, average: Average | None) -> Array:
        settles = jnp.zeros((1,) * w.ndim, jnp.bool_)
        for term in self._in_order_of_kinks():
            if term.kink:
                settles = settles | term.settles_at(w, moved, direction, average)
            if average is not None:
                gradient = average.gradient
                average = average._replace(gradient=term.subgradient_at(w, gradient, gradient))
        return settles

    def settled_at(self, w: Array) -> Array:
        return next(term for term in self._in_order_of_kinks() if term.kink).settled_at(w)

    def _in_order_of_kinks(self) -> list[SettlingPenalty]:
        """First what has no kink, then single weights, then groups, of which all must be the same groups."""
        terms = sorted(self._settling, key=lambda t: 0 if not t.kink else 1 if t.joint is None else 2)
        kinks = [term for term in terms if term.kink]
        groups = {term.joint for term in kinks if term.joint is not None}
        # Two kinks are one only where they are at the same weights: around one center is around one alone.
        elsewhere = any(isinstance(term, Around) for term in kinks)
        if len(groups) > 1 or (elsewhere and len(kinks) > 1):
            raise TypeError(_no_closed_form(terms, "rule for zeros"))
        return terms


class Selected(Penalty):
    """A penalty on chosen leaves: what `p.on(where, exclude=...)` makes."""

    penalty: Penalty = nested()
    where: Selector = static()
    exclude: Selector | None = static()

    def __new__(cls, penalty: Penalty | None = None, *selection: Any, **named: Any) -> "Selected":
        del selection, named
        return object.__new__(SettlingSelected if isinstance(penalty, SettlingPenalty) else cls)

    def atoms(self) -> Iterator[tuple[Penalty, tuple["Selected", ...]]]:
        for atom, selections in self.penalty.atoms():
            yield atom, (*selections, self)

    # Which leaves is decided by their paths; one array alone has none.

    def value_at(self, w: Array) -> Array:
        return self.penalty.value_at(w)

    def prox_at(self, v: Array, step: Array) -> Array:
        return self.penalty.prox_at(v, step)

    def __repr__(self) -> str:
        inner = f"({self.penalty!r})" if isinstance(self.penalty, Sum) else repr(self.penalty)
        return f"{inner}.on({self.selection()})"

    def selection(self) -> str:
        """The arguments of `.on`, as text."""
        named = [] if self.where is weights else [repr(self.where)]
        return ", ".join(named if self.exclude is None else [*named, f"exclude={self.exclude!r}"])


class SettlingSelected(Selected, SettlingPenalty):
    """A selection of a penalty that has a rule for exact zeros."""

    name_in_config = "Selected"

    @property
    def kink(self) -> bool:
        """Whether the penalty has one."""
        return self._settling.kink

    @property
    def joint(self) -> Hashable:
        """Those of the penalty."""
        return self._settling.joint

    def subgradient_at(self, w: Array, gradient: Array, average: Array) -> Array:
        return self._settling.subgradient_at(w, gradient, average)

    def settles_at(self, w: Array, moved: Array, direction: Array, average: Average | None) -> Array:
        return self._settling.settles_at(w, moved, direction, average)

    def settled_at(self, w: Array) -> Array:
        return self._settling.settled_at(w)

    @property
    def _settling(self) -> SettlingPenalty:
        return cast(SettlingPenalty, self.penalty)


def _allows_non_negative(part: Penalty) -> bool:
    # With the moduli alone in R, and R not falling, what is negative is best at 0, and the rest as without.
    return part.monotone or part.order == Order.NON_NEGATIVE


def _no_closed_form(parts: Sequence[Penalty], what: str) -> str:
    return (
        f"the sum {' + '.join(part.name_in_config for part in parts)} on one leaf has no {what} in closed "
        "form: give each penalty leaves of its own with `.on(...)`, or add one of them to the loss; of a "
        "constraint, `proximal(constraint)` after the other's transform is a step of its own"
    )
