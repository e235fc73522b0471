"""What Penalized does to one variable in one step."""

from typing import Any, NamedTuple

from jax import Array
from jax.experimental import sparse

from penalties._numerics import widen
from penalties._penalty.base import Penalty
from penalties._training import settling


class Step(NamedTuple):
    """One variable in one step: what the inner optimizer saw of it."""

    variable: Any
    before: Array
    penalty: Penalty
    direction: Array
    average: Array
    weight: Array

    def settled(self, moved: Array) -> Array:
        """`moved`, or exactly 0 where the step crossed a kink."""
        return settling.settled_weights(
            self.penalty, self.before, moved, self.direction, self.average, self.weight
        )


def times(x: Any, factor: Array) -> Any:
    """x · factor, computed in the accumulator's dtype."""
    if isinstance(x, sparse.BCOO):
        return sparse.BCOO((times(x.data, factor), x.indices), shape=x.shape)
    wide = widen(x)
    return wide * factor.astype(wide.real.dtype)


def dense(gradient: Any) -> Array:
    """The gradient of an embedding may be sparse; what a penalty adds to it is not."""
    return gradient.todense() if isinstance(gradient, sparse.BCOO) else gradient
