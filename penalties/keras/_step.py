"""What Penalized does to one variable, or several that have groups in common, in one step."""

from collections.abc import Container, Sequence
from typing import Any, NamedTuple

from jax import Array
from jax.experimental import sparse

from penalties._numerics import widen
from penalties._penalty.parts import Part
from penalties._training import settling


class Step(NamedTuple):
    """A part of the penalty in one step: its weights as they were, and what the inner optimizer sees."""

    part: Part
    before: Any
    direction: Any
    average: Any
    weight: Array

    @classmethod
    def of(
        cls,
        part: Part,
        variables: Sequence[Any],
        gradients: dict[int, Array],
        averages: dict[int, Array],
        weight: Array,
    ) -> "Step":
        """Of the variables, gradients and averages of this step, by position."""
        before, average = _values(part, variables), part.of(averages)
        direction = settling.direction(part.penalty, before, part.of(gradients), average)
        return cls(part, before, direction, average, weight)

    def settled(self, variables: Sequence[Any]) -> dict[int, Array]:
        """What its variables are now, by position, or exactly 0 where the step crossed a kink."""
        moved = _values(self.part, variables)
        return self.part.by_position(
            settling.settled_weights(
                self.part.penalty, self.before, moved, self.direction, self.average, self.weight
            )
        )


def _values(part: Part, variables: Sequence[Any]) -> Any:
    """The arrays of a part's variables now."""
    values = tuple(variables[i].value for i in part.at)
    return values if part.is_joint else values[0]


def with_gradients(parts: Sequence[Part], gradients: Container[int]) -> list[Part]:
    """The parts whose variables have gradients.

    Raises:
        ValueError: of variables that have groups in common only some have gradients.
    """
    for part in parts:
        lacking = [leaf.path for i, leaf in zip(part.at, part.leaves, strict=True) if i not in gradients]
        if 0 < len(lacking) < len(part.at):
            raise ValueError(
                f"there are no gradients for {lacking}, which have groups in common with others: a unit "
                "becomes zero with all of its weights; leave them out with `.on(exclude=...)`"
            )
    return [part for part in parts if part.at[0] in gradients]


def times(x: Any, factor: Array) -> Any:
    """x · factor, computed in the accumulator's dtype."""
    if isinstance(x, sparse.BCOO):
        return sparse.BCOO((times(x.data, factor), x.indices), shape=x.shape)
    wide = widen(x)
    return wide * factor.astype(wide.real.dtype)


def dense(gradient: Any) -> Array:
    """The gradient of an embedding may be sparse; what a penalty adds to it is not."""
    return gradient.todense() if isinstance(gradient, sparse.BCOO) else gradient
