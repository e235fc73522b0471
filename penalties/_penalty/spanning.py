"""SpanningPenalty: a penalty of several leaves together, worked on with the arrays of all of them at once."""

import abc
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple, Self

from jax import Array

from penalties._numerics import sum_scalars
from penalties._penalty.base import Order, Penalty
from penalties._penalty.rule import widened
from penalties._tree.paths import Leaf


class SpanningPenalty(Penalty, abc.ABC):
    """A penalty that is no sum over leaves: its formulas are of tuples of arrays.

    Where another penalty's `value_at` and `prox_at` are given one array, they are given here one for each
    leaf of a block, in the order of the block; `prox_at` returns as many.
    """

    spans_leaves = True
    follows: ClassVar[tuple[Order, ...]] = ()  # which proxes, leaf by leaf, its own may follow in a sum
    way_out_of_sums: ClassVar[str] = ""  # what else there is in place of a sum without a prox

    @property
    @abc.abstractmethod
    def paths(self) -> tuple[str, ...] | None:
        """The paths of the leaves that it is of; None for whichever are selected."""

    @abc.abstractmethod
    def blocks(self, leaves: Sequence[Leaf], chosen: Sequence[int]) -> Iterator[tuple[Self, tuple[int, ...]]]:
        """The penalty taken apart into what has no leaf in common, and the positions of its leaves.

        Args:
            leaves: all those of params.
            chosen: where those stand that are selected and trained; of others it is not.

        Raises:
            ValueError: params lack a leaf, or it has another shape.
        """

    def beside(self, single: tuple[Penalty | None, ...]) -> "Beside":
        """The sum with what else there is on each leaf of a block."""
        return Beside(self, single)

    def value_of_leaf(self, w: Any) -> Array:
        return self.value_at(widened(w))


class Beside(NamedTuple):
    """A penalty of several leaves together and what else there is on each by itself: their sum."""

    joint: Any  # a SpanningPenalty; of `SettlingBeside` a JointPenalty
    single: tuple[Penalty | None, ...]

    def __repr__(self) -> str:
        return " + ".join(repr(p) for p in (self.joint, *self.single) if p is not None)

    @property
    def kink(self) -> bool:
        """Whether a term has one."""
        return self.joint.kink or any(p is not None and p.kink for p in self.single)

    def scaled(self, factor: Any) -> "Beside":
        """Both times the factor."""
        return self._replace(
            joint=self.joint.scaled(factor), single=tuple(p and p.scaled(factor) for p in self.single)
        )

    def value_at(self, w: Any) -> Array:
        values = [p.value_at(x) for p, x in zip(self.single, w, strict=True) if p is not None]
        return sum_scalars([self.joint.value_at(w), *values])

    def value_of_leaf(self, w: Any) -> Array:
        return self.value_at(widened(w))

    def prox_at(self, v: Any, step: Array) -> Any:
        for p in self.single:
            parts = [] if p is None else [part for term in p.terms_of_sum() for part in term.parts()]
            if any(part.order not in self.joint.follows for part in parts):
                raise TypeError(self.no_closed_form(p, "prox"))
        z: Any = self.each(v, lambda p, x: p.prox_at(x, step.astype(x.real.dtype)))
        return self.joint.prox_at(z, step)

    def each(self, otherwise: Any, function: Callable[..., Array], *arrays: Any) -> tuple[Array, ...]:
        """The function of the penalty and the arrays of each leaf; `otherwise` where it has no other one."""
        arrays = arrays or (otherwise,)
        return tuple(
            other if p is None else function(p, *of_leaf)
            for p, other, *of_leaf in zip(self.single, otherwise, *arrays, strict=True)
        )

    def no_closed_form(self, other: Any, what: str) -> str:
        """What is said of a sum without one."""
        return (
            f"the sum of {self.joint!r} and {other!r} on one leaf has no {what} in closed form: give each "
            "leaves of its own with `.on(...)`, or add one of them to the loss" + self.joint.way_out_of_sums
        )
