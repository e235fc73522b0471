"""One step of `penalized`: each tree opened once, joined once, worked on leaf by leaf, closed once."""

from collections.abc import Iterator, Sequence
from typing import Any

from jax import Array

from penalties._penalty.base import Penalty
from penalties._penalty.binding import bind_parts_joined
from penalties._penalty.parts import Part
from penalties._training import settling
from penalties._tree.joining import join
from penalties._tree.opening import Opened
from penalties._tree.paths import Leaf


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
        self._parts = bind_parts_joined(penalty, self.weights.leaves, self._gradients.leaves, "updates")
        _check_params(average, self.weights.leaves)
        self.average, averages = _averaged(average, self._gradients.leaves, weight, count)
        self._averages, self._directions = {}, {}
        for part in self._parts:
            _check_average(part, averages)
            # The gradient in place of an average where there is no kink, and none is needed.
            self._averages |= {i: averages.get(i, values[i]) for i in part.at}
            fed = part.call(settling.direction, part.of(values), part.of(self._averages))
            self._directions |= part.by_position(fed)
        self.fed = self._gradients.with_leaves(self._directions)

    def settled(self, steps: Any) -> Any:
        """The optimizer's updates, those of weights that crossed a kink made to end at exactly zero."""
        opened = Opened(steps)
        new: dict[int, Array] = {}
        for part, place in self._placed(opened):
            update = part.call(
                settling.settled_update,
                place.of(opened.values),
                part.of(self._directions),
                part.of(self._averages),
                self._weight,
            )
            new |= place.by_position(update)
        return opened.with_leaves(new)

    def moves(self, updates: Any) -> dict[str, tuple[Array, Array]]:
        """The update and the direction of what is penalized, by leaf path."""
        opened = Opened(updates)
        return {
            leaf.path: (opened.values[there], self._directions[here])
            for part, place in self._placed(opened)
            for leaf, here, there in zip(part.leaves, part.at, place.at, strict=True)
        }

    def _placed(self, steps: Opened) -> Iterator[tuple[Part, Part]]:
        """Each part of which the optimizer returned the updates: at its gradients, and at these."""
        place = self._places(steps)
        for part in self._parts:
            at = tuple(place[i] for i in part.at if i in place)
            if len(at) == len(part.at):
                yield part, part._replace(at=at)
            elif at:
                raise ValueError(
                    "the optimizer returned no updates for some of the leaves "
                    f"{[leaf.path for leaf in part.leaves]}, which have groups in common: a unit becomes "
                    "zero with all of its weights"
                )

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


def _check_params(average: Any, weights: Sequence[Leaf]) -> None:
    """Raises ValueError if the state is of more params than these."""
    paths = {leaf.path for leaf in weights}
    lacking = [leaf.path for leaf in Opened(average).leaves if leaf.path not in paths]
    if lacking:
        raise ValueError(
            f"the state has averages for the leaves {lacking[:20]}, which the params have not: give all "
            "params that `init` was given, or make a new state by `init(params)`"
        )


def _check_average(part: Part, averages: dict[int, Array]) -> None:
    """Raises ValueError if a leaf with a kink has no average."""
    for i, leaf in zip(part.at, part.leaves, strict=True):
        if part.penalty.kink and i not in averages:
            raise no_average(leaf.path, part.penalty)


def no_average(path: str, penalty: Any) -> ValueError:
    """The error for a leaf with a kink, on which there was no penalty in `init`."""
    return ValueError(
        f"the state has no average for the leaf {path!r}, on which there is {type(penalty).__name__} now: "
        "the selection, or the params, are not those of `init`; make a new state by `init(params)`. (Of NNX "
        "modules weights are nnx.Param and what is derived from it; Python numbers become arrays in jit.)"
    )
