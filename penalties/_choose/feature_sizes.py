"""The features that leaves read, and the norm of their weights at points of a path."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from penalties._choose.path import Path
from penalties._penalty.integers import checked_int
from penalties._tree.paths import leaves_with_paths


def feature_sizes(path: Path, points: np.ndarray, leaf: str | Sequence[str], axis: Any) -> np.ndarray:
    """The Euclidean norm of each feature at each of the points, an array (points, features) of float64.

    Args:
        path: of which params.
        points: indices of points that are finite.
        leaf: the path of the leaf in params; or several, which all read the same features.
        axis: the axis of the features in each of them.

    Raises:
        ValueError: params have no such leaf, or a leaf no such axis; leaves have different numbers of
            features.
        TypeError: axis is no int.
    """
    names = (leaf,) if isinstance(leaf, str) else tuple(leaf)
    squares = [_squares(path, points, name, axis) for name in names]
    if not squares or len({s.shape for s in squares}) > 1:
        raise ValueError(
            f"the leaves {list(names)} have {[s.shape[1] for s in squares]} features along axis {axis}: "
            "expected one leaf, or several that read the same features; rank others by themselves"
        )
    return np.sqrt(sum(squares))


def _squares(path: Path, points: np.ndarray, name: str, axis: Any) -> np.ndarray:
    """Σ|w|² of each feature at each of the points, an array (points, features) of float64."""
    leaves = {leaf.path: leaf.value for leaf in leaves_with_paths(path.params)}
    if name not in leaves:
        raise ValueError(f"params have no leaf {name!r}: expected one of {sorted(leaves)[:20]}")
    w = np.asarray(leaves[name])[points]
    w = np.abs(w.astype(np.complex128 if np.iscomplexobj(w) else np.float64))
    along = checked_int(axis, "axis")
    if not -(w.ndim - 1) <= along < w.ndim - 1:
        raise ValueError(f"axis is {axis}, and the leaf {name!r} has the shape {w.shape[1:]}")
    w = np.moveaxis(w, along + 1 if along >= 0 else along, 1)
    # Scaled by the largest: squares of small weights must not vanish.
    largest = w.max(initial=0)
    return np.sum((w / (largest or 1)) ** 2, tuple(range(2, w.ndim))) * largest**2
