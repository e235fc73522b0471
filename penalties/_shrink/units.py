"""The units of a network: what can go, and where it is in the leaves."""

import dataclasses

import numpy as np

from penalties._shrink.coupling import Coupling


@dataclasses.dataclass(eq=False)
class Units:
    """What can go, unit by unit, and the classes of units that are on the same axes.

    Attributes:
        root: the label of each unit.
        classes: the class of each unit, numbered in the order of their leaves.
        unit, leaf, axis, position: four arrays of equal length: unit `unit[i]` takes along
            `position[i]` of axis `axis[i]` of leaf `leaf[i]`.
    """

    root: np.ndarray
    classes: np.ndarray
    unit: np.ndarray
    leaf: np.ndarray
    axis: np.ndarray
    position: np.ndarray

    @property
    def count(self) -> int:
        """The number of classes."""
        return int(self.classes.max(initial=-1)) + 1


def units_of(coupling: Coupling) -> Units:
    """All units of a coupling."""
    rows = [np.zeros((4, 0), np.int64)]
    for n, v in enumerate(coupling.program.leaves):
        for k, roots in enumerate(coupling.roots(v)):
            free = np.flatnonzero(~coupling.labels.is_pinned(roots))
            index, base = coupling.labels.bases(roots[free])
            rows.append(np.stack([base, np.full_like(base, n), np.full_like(base, k), free[index]]))
    base, leaf, axis, position = np.concatenate(rows, 1)
    root, first, unit = np.unique(base, return_index=True, return_inverse=True)
    if not root.size:
        return Units(root, root, unit, leaf, axis, position)
    keys = _where(unit, leaf, axis) + np.uint64(0x9E3779B97F4A7C15) * coupling.labels.axis_classes()[
        root
    ].astype(np.uint64)
    # Numbered in the order of their first positions.
    _, seen, classes = np.unique(keys, return_index=True, return_inverse=True)
    start = np.array([first[classes == c].min() for c in range(len(seen))])
    rank = np.empty(len(seen), np.int64)
    rank[np.argsort(start)] = np.arange(len(seen))
    return Units(root, rank[classes], unit, leaf, axis, position)


def _where(unit: np.ndarray, leaf: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """For each unit a number that says how many positions of which axes it has."""
    rows, count = np.unique(np.stack([unit, leaf, axis], 1), axis=0, return_counts=True)
    code = (rows[:, 1] * 64 + rows[:, 2] + 1).astype(np.uint64) * np.uint64(0xBF58476D1CE4E5B9)
    code = (code ^ (code >> np.uint64(29))) * (2 * count + 1).astype(np.uint64)
    code = (code ^ (code >> np.uint64(32))) * np.uint64(0x94D049BB133111EB)
    total = np.zeros(rows[:, 0].max() + 1, np.uint64)
    np.add.at(total, rows[:, 0], code ^ (code >> np.uint64(31)))
    return total
