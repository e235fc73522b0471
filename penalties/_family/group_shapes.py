"""The shapes of groups, apart from the penalty on them: units, leaves, blocks, labels."""

import operator
from collections.abc import Sequence
from typing import Any, NoReturn

import jax
import numpy as np
from jax.core import Tracer

from penalties._penalty.axes import as_axes
from penalties._penalty.partitions import Blocks, Labels, Partition, Units
from penalties._tree.paths import leaves_with_paths

_MOST = np.iinfo(np.int64).max


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
    """Each leaf is one group: whole layers become zero. It is what `axis=()` gives.

    >>> import jax.numpy as jnp
    >>> from penalties import GroupLasso, leaves
    >>> penalty = GroupLasso(0.5, groups=leaves())
    >>> float(penalty({"a": jnp.array([[3.0, 4.0], [0.0, 0.0]]), "b": jnp.zeros(3)}))  # 0.5 · √4 · 5
    5.0
    """
    return Units(())


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
        TypeError: an array is not of ints, or is traced; ValueError: a list is no array, or a label is more
            than an int64 holds. In use, ValueError:
            a shape does not broadcast to its leaf, or there are none for a leaf.

    >>> import jax.numpy as jnp
    >>> from penalties import GroupLasso, labels
    >>> penalty, w = GroupLasso(1.0, groups=labels([0, 0, 1]), weights=1.0), jnp.array([3.0, 4.0, 0.5])
    >>> float(penalty(w))
    5.5
    >>> print(penalty.prox(w).round(1))
    [2.4 3.2 0. ]
    """
    tree = jax.tree.map(lambda x: _array(x) if _is_list(x) else x, tree, is_leaf=_is_list)
    found = leaves_with_paths(tree)
    if not found:
        raise TypeError(f"labels got the empty tree {tree!r}: expected an array of ints for each leaf")
    return Labels({leaf.path: _ints(leaf.value, leaf.path) for leaf in found})


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


def _array(x: Any) -> np.ndarray:
    try:
        return np.asarray(x)
    except ValueError:
        raise ValueError(
            f"labels got lists of different lengths, {x!r}: expected an array of ints; of params that are a "
            "list give a list with an np.array for each leaf"
        ) from None


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
    if found.size and int(found.max()) > _MOST:
        raise ValueError(
            f"labels{where} reach {found.max()}: expected at most {_MOST}, an int64; number them anew, as "
            "`np.unique(labels, return_inverse=True)[1]` does"
        )
    return found


def _refuse(what: str) -> NoReturn:
    raise TypeError(what)
