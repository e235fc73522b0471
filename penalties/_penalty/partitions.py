"""How a leaf is split into groups: by `units`, as `leaves`, into `blocks`, by `labels`."""

from __future__ import annotations

import abc
import hashlib
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, final

import jax
import numpy as np
from jax import Array
from jax.core import Tracer

from penalties._penalty.axes import as_axes
from penalties._penalty.split import AlongAxes, Labelled, Split
from penalties._penalty.strengths import PerLeaf
from penalties._penalty.text import shown
from penalties._tree.paths import Leaf, leaves_with_paths


class Partition(abc.ABC):
    """How a leaf is split into groups, apart from the penalty on them: for `groups=`.

    `units(axis)`, `leaves()`, `blocks(shape)` and `labels(tree)` make one. Each weight is in one group, and
    a group in one leaf. It is hashable, and part of what is compiled.
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
    """What `units` makes."""

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
        return f"units({self.axis})"


@final
@dataclass(frozen=True)
class Leaves(Partition):
    """What `leaves` makes."""

    def split(self, w: Array, owner: str) -> Split:
        del owner
        return AlongAxes([[(length, True)] for length in w.shape])

    def to_config(self) -> dict[str, Any]:
        return {"partition": "leaves"}

    def __repr__(self) -> str:
        return "leaves()"


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
            if block is None or block == length:
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
        self._of_leaves = {path: np.asarray(labels) for path, labels in of_leaves.items()}
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


def units(axis: int | tuple[int, ...]) -> Partition:
    """One group per index along an axis, or along several: what `axis=` of `GroupLasso` gives.

    A leaf without axes is one group.

    Args:
        axis: an int, or a tuple of ints; all other axes are within the group.

    Raises:
        TypeError: axis is something else. In use, ValueError: the leaf has no such axis.

    >>> from penalties import GroupLasso, units
    >>> GroupLasso(0.1, groups=units(0)) == GroupLasso(0.1, axis=0)
    True
    """
    return Units(as_axes(axis, "units.axis"))


def leaves() -> Partition:
    """Each leaf is one group: whole layers become zero.

    >>> import jax.numpy as jnp
    >>> from penalties import GroupLasso, leaves
    >>> penalty = GroupLasso(0.5, groups=leaves())
    >>> float(penalty({"a": jnp.array([[3.0, 4.0], [0.0, 0.0]]), "b": jnp.zeros(3)}))  # 0.5 · √4 · 5
    5.0
    """
    return Leaves()


def blocks(shape: int | Sequence[int | None] | None) -> Partition:
    """Tiles of this shape of the last axes; along all axes before them one group per index.

    Args:
        shape: the lengths of a tile; None, or -1, for the whole axis. An int is a tile of the last axis.
            `blocks((4, 4))` are tiles of 4 × 4 weights; of a fused projection of shape (in, heads · 64),
            `blocks((None, 64))` are the heads.

    Raises:
        TypeError: shape is no int and no sequence of ints and None; ValueError: a length is < 1. In use,
            ValueError: the leaf has fewer axes, or a length that is no multiple of the tile's.

    >>> import jax.numpy as jnp
    >>> from penalties import GroupLasso, blocks
    >>> w = jnp.array([[3.0, 4.0, 0.1, 0.1], [0.0, 0.0, 0.1, 0.1]])
    >>> print(GroupLasso(0.5, groups=blocks((2, 2))).prox(w).round(1))
    [[2.4 3.2 0.  0. ]
     [0.  0.  0.  0. ]]

    Source: Gray, Radford and Kingma, GPU kernels for block-sparse weights (2017).
    """
    lengths = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if not lengths:
        raise ValueError("blocks.shape is empty: expected one length or more, such as (4, 4)")
    return Blocks(tuple(_length(length, shape) for length in lengths))


def labels(tree: Any) -> Partition:
    """Groups by name: weights of one leaf that have the same label are a group.

    Args:
        tree: for each leaf an array of ints of the leaf's shape, or of one that broadcasts to it, which
            is faster: labels of shape (in, 1) group the rows of a kernel. A tree like params, a prefix of
            one, or one array for all leaves. Weights of different leaves are never in one group.

    The labels are part of what is compiled, four bytes each, and cannot be traced. Of a group's number in
    the order of sorted labels is its entry in `weights=`.

    Raises:
        TypeError: an array is not of ints, or is traced. In use, ValueError: a shape does not broadcast to
            its leaf, or there are none for a leaf.

    >>> import jax.numpy as jnp
    >>> from penalties import GroupLasso, labels
    >>> penalty = GroupLasso(1.0, groups=labels([0, 0, 1]), weights=1.0)
    >>> penalty.prox(jnp.array([3.0, 4.0, 0.5])).round(2).tolist()
    [2.4000000953674316, 3.200000047683716, 0.0]
    """
    tree = jax.tree.map(lambda x: np.asarray(x) if _is_list(x) else x, tree, is_leaf=_is_list)
    found = leaves_with_paths(tree)
    if not found:
        raise TypeError(f"labels got the empty tree {tree!r}: expected an array of ints for each leaf")
    return Labels({leaf.path: _ints(leaf.value, leaf.path) for leaf in found})


def partition_from_config(config: Mapping[str, Any]) -> Partition:
    """The partition that `to_config` described."""
    match config["partition"]:
        case "units":
            return units(config["axis"])
        case "leaves":
            return leaves()
        case "blocks":
            return blocks(config["shape"])
        case "labels":
            return Labels({path: np.asarray(array, int) for path, array in config["of_leaves"].items()})
    raise ValueError(f"no groups are described by {config!r}: expected units, leaves, blocks or labels")


def _length(length: Any, shape: Any) -> int | None:
    if length is None or (_is_int(length) and length == -1):
        return None
    if not _is_int(length):
        raise TypeError(
            f"blocks.shape is {shape!r}: expected an int, or a tuple of ints and None, such as (4, 4)"
        )
    if length < 1:
        raise ValueError(f"blocks.shape is {shape!r}: expected lengths ≥ 1, or None for a whole axis")
    return operator.index(length)


def _is_list(x: Any) -> bool:
    """Whether x is an array written as a list."""
    return isinstance(x, (list, tuple)) and bool(x) and all(map(_is_int, jax.tree.leaves(x)))


def _is_int(x: Any) -> bool:
    return isinstance(x, (int, np.integer)) and not isinstance(x, bool)


def _ints(array: Any, path: str) -> np.ndarray:
    where = f" at {path!r}" if path else ""
    if isinstance(array, Tracer):
        _refuse(
            f"labels{where} are traced: they are part of what is compiled; make them outside jit, with NumPy"
        )
    if not isinstance(array, (np.ndarray, jax.Array, np.integer, int)) or isinstance(array, bool):
        _refuse(f"labels{where} are {array!r} of type {type(array).__name__}: expected an array of ints")
    found = np.asarray(array)
    if not np.issubdtype(found.dtype, np.integer):
        _refuse(f"labels{where} are of dtype {found.dtype}: expected an array of ints")
    return found


def _refuse(what: str) -> NoReturn:
    raise TypeError(what)
