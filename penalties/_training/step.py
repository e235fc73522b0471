"""One step of `penalized`: each tree opened once, joined once, worked on leaf by leaf, closed once."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jax import Array

from penalties._penalty.base import Penalty
from penalties._penalty.binding import bind_joined
from penalties._training import settling
from penalties._tree.joining import join
from penalties._tree.opening import Opened
from penalties._tree.paths import Leaf, at_leaf


class _Row(NamedTuple):
    """One leaf that is penalized, and what the rule for zeros is told of it."""

    i: int  # among the leaves of the gradients
    leaf: Leaf  # of the params
    penalty: Penalty
    average: Array  # of its gradient; the gradient itself where there is no kink, and none is needed


class Step:
    """What becomes of the gradients of one step before the optimizer, and of its updates after it.

    Attributes:
        weights: the params, opened.
        average: the tree of averages, after this step.
        fed: what the optimizer is to be given: the least-norm subgradients, a tree like the gradients.
    """

    def __init__(
        self, penalty: Penalty, params: Any, gradients: Any, average: Any, weight: Array, count: Array
    ):
        self.weights, self._gradients, self._weight = Opened(params), Opened(gradients), weight
        values = self._gradients.values
        bound = bind_joined(penalty, self.weights.leaves, self._gradients.leaves, "updates")
        self.average, averages = _averaged(average, self._gradients.leaves, weight, count)
        self._rows = [
            _Row(i, leaf, p, averages[i] if i in averages else _needing_none(values[i], p, leaf))
            for i, (p, leaf) in enumerate(bound)
            if p is not None
        ]
        self._directions = {
            row.i: at_leaf(
                row.leaf, settling.direction, row.penalty, row.leaf.value, values[row.i], row.average
            )
            for row in self._rows
        }
        self.fed = self._gradients.with_leaves(self._directions)

    def settled(self, steps: Any) -> Any:
        """The optimizer's updates, those of weights that crossed a kink made to end at exactly zero."""
        opened = Opened(steps)
        place = self._places(opened)
        new = {
            place[row.i]: at_leaf(
                row.leaf,
                settling.settled_update,
                row.penalty,
                row.leaf.value,
                opened.values[place[row.i]],
                self._directions[row.i],
                row.average,
                self._weight,
            )
            for row in self._rows
            if row.i in place
        }
        return opened.with_leaves(new)

    def moves(self, updates: Any) -> dict[str, tuple[Array, Array]]:
        """The update and the direction of what is penalized, by leaf path."""
        opened = Opened(updates)
        place = self._places(opened)
        return {
            row.leaf.path: (opened.values[place[row.i]], self._directions[row.i])
            for row in self._rows
            if row.i in place
        }

    def _places(self, steps: Opened) -> dict[int, int]:
        """Where the leaf of each gradient stands in what the optimizer returned."""
        if steps.treedef == self._gradients.treedef:
            return {i: i for i in range(len(steps.values))}
        join(self.weights.leaves, steps.leaves, "updates")  # or raises
        at = {leaf.path: i for i, leaf in enumerate(steps.leaves)}
        return {i: at[leaf.path] for i, leaf in enumerate(self._gradients.leaves) if leaf.path in at}


def _averaged(
    average: Any, gradients: Sequence[Leaf], weight: Array, count: Array
) -> tuple[Any, dict[int, Array]]:
    """The tree of averages after this gradient, and the averages by the position of the gradient."""
    opened = Opened(average)
    at = {leaf.path: i for i, leaf in enumerate(opened.leaves)}
    new = {
        i: settling.averaged(opened.values[at[gradient.path]], gradient.value, weight, count)
        for i, gradient in enumerate(gradients)
        if gradient.path in at  # a leaf without a gradient keeps its average
    }
    return opened.with_leaves({at[gradients[i].path]: x for i, x in new.items()}), new


def _needing_none(gradient: Array, penalty: Penalty, leaf: Leaf) -> Array:
    """The gradient, in the place of the average that a leaf without a kink does not need."""
    if penalty.kink:
        raise ValueError(
            f"the state has no average for the leaf {leaf.path!r}, on which there is "
            f"{type(penalty).__name__} now: the selection, or the params, are not those of `init`; make a "
            "new state by `init(params)`"
        )
    return gradient
