"""How a leaf is split into groups: what `units`, `leaves`, `blocks` and `labels` make."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jax import Array

from penalties._penalty.axes import as_axes
from penalties._penalty.split import AlongAxes, Labelled, Split
from penalties._penalty.strengths import PerLeaf
from penalties._penalty.text import shown
from penalties._tree.paths import Leaf


class Partition(abc.ABC):
    """How a leaf is split into groups, apart from the penalty on them: for `groups=`.

    `units(axis)`, `leaves()`, `blocks(shape)` and `labels(tree)` make one. Each weight is in one group, and
    a group in one leaf. It is hashable, and part of what is compiled.

    >>> from penalties import GroupLasso, Partition, blocks
    >>> isinstance(blocks((4, 4)), Partition), GroupLasso(0.1, groups=blocks((4, 4))).groups
    (True, blocks((4, 4)))
    """

    @abc.abstractmethod
    def split(self, w: Array, owner: str) -> Split:
        """The groups of one array; `owner` is what errors say has them."""

    @abc.abstractmethod
    def to_config(self) -> dict[str, Any]:
        """A dict of plain Python numbers, strings and lists; `partition_from_config` reads it."""

    def reaching(self, leaves: Sequence[Leaf]) -> Callable[[Leaf], Partition]:
        """From one of the leaves to what of it is for that leaf."""
        del leaves
        return lambda leaf: self


@final
@dataclass(frozen=True)
class Units(Partition):
    """What `units` makes, and `leaves`, which are along no axis."""

    axis: int | tuple[int, ...]

    def split(self, w: Array, owner: str) -> Split:
        axes = (self.axis,) if isinstance(self.axis, int) else self.axis
        if w.ndim == 0:
            return AlongAxes([])
        if any(not -w.ndim <= axis < w.ndim for axis in axes):
            raise ValueError(
                f"{owner} on a leaf of shape {w.shape}: expected axes between {-w.ndim} and {w.ndim - 1}; "
                "select leaves that have this axis with `.on(...)`"
            )
        across = {axis % w.ndim for axis in axes}
        return AlongAxes([[(length, axis not in across)] for axis, length in enumerate(w.shape)])

    def to_config(self) -> dict[str, Any]:
        return {"partition": "units", "axis": list(self.axis) if isinstance(self.axis, tuple) else self.axis}

    def __repr__(self) -> str:
        return "leaves()" if self.axis == () else f"units({self.axis})"


@final
@dataclass(frozen=True)
class Blocks(Partition):
    """What `blocks` makes."""

    shape: tuple[int | None, ...]

    def split(self, w: Array, owner: str) -> Split:
        leading = w.ndim - len(self.shape)
        if leading < 0:
            raise ValueError(
                f"{owner} on a leaf of shape {w.shape}: expected a leaf with {len(self.shape)} axes or more; "
                "select such leaves with `.on(...)`"
            )
        pieces: list[list[tuple[Any, bool]]] = [[(length, False)] for length in w.shape[:leading]]
        for length, block in zip(w.shape[leading:], self.shape, strict=True):
            if block is None:
                pieces.append([(length, True)])
            elif length % block == 0:
                pieces.append([(length // block, False), (block, True)])
            else:
                raise ValueError(
                    f"{owner} on a leaf of shape {w.shape}: its length {length} is no multiple of {block}; "
                    "give lengths of blocks that divide it, None for the whole axis, or select other leaves "
                    "with `.on(...)`"
                )
        return AlongAxes(pieces)

    def to_config(self) -> dict[str, Any]:
        return {"partition": "blocks", "shape": list(self.shape)}

    def __repr__(self) -> str:
        return f"blocks({self.shape})"


@final
class Labels(Partition):
    """What `labels` makes: arrays of labels by leaf path, compared by their digest."""

    def __init__(self, of_leaves: Mapping[str, np.ndarray]):
        # Copies, or a later change to the array would go unnoticed by the digest, and by what is compiled.
        self._of_leaves = {path: np.array(labels) for path, labels in of_leaves.items()}
        digest = hashlib.sha256()
        for path, array in self._of_leaves.items():
            digest.update(
                repr((path, array.shape)).encode() + np.ascontiguousarray(array, np.int64).tobytes()
            )
        self._digest = digest.digest()

    def split(self, w: Array, owner: str) -> Split:
        if not self._is_one:
            raise ValueError(f"{owner} has labels by leaf path, and got an array without one: pass a tree")
        array = self._of_leaves[""]
        try:
            fits = np.broadcast_shapes(array.shape, w.shape) == w.shape
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                f"{owner} on a leaf of shape {w.shape}: expected labels of this shape, or of one that "
                f"broadcasts to it, and got the shape {array.shape}"
            )
        return Labelled(w.shape, array.reshape((1,) * (w.ndim - array.ndim) + array.shape))

    def reaching(self, leaves: Sequence[Leaf]) -> Callable[[Leaf], Partition]:
        if self._is_one:
            return lambda leaf: self
        per_leaf = PerLeaf(self._of_leaves, "labels", leaves)
        return lambda leaf: Labels({"": per_leaf.part(leaf)})

    @property
    def _is_one(self) -> bool:
        """Whether it is one array, for whatever leaf."""
        return set(self._of_leaves) == {""}

    def to_config(self) -> dict[str, Any]:
        of_leaves = {path: array.tolist() for path, array in self._of_leaves.items()}
        return {"partition": "labels", "of_leaves": of_leaves}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Labels) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    def __repr__(self) -> str:
        return f"labels({shown(self._of_leaves[''] if self._is_one else self._of_leaves)})"


def partition_from_config(config: Mapping[str, Any]) -> Partition:
    """The partition that `to_config` described."""
    match config["partition"]:
        case "units":
            return Units(as_axes(config["axis"], "axis"))
        case "blocks":
            return Blocks(tuple(config["shape"]))
        case "labels":
            return Labels({path: np.asarray(array, int) for path, array in config["of_leaves"].items()})
    raise ValueError(f"no groups are described by {config!r}: expected units, blocks or labels")
