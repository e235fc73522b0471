"""How the samples of some data are parted into folds."""

import operator
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

Fold = tuple[np.ndarray, np.ndarray]
"""The samples to train on, and those that are held out, as indices."""


def samples_of(x: Any, y: Any) -> int:
    """How many samples the data have.

    Raises:
        ValueError: x and y have different numbers of them; or an array has no axis.
    """
    counts = {np.shape(leaf)[0] if np.ndim(leaf) else -1 for leaf in jax.tree.leaves((x, y))}
    if len(counts) != 1 or -1 in counts:
        raise ValueError(
            f"x and y have shapes {[np.shape(leaf) for leaf in jax.tree.leaves((x, y))][:20]}: expected one "
            "first axis of the same length for all, the samples"
        )
    return counts.pop()


def folds_of(folds: int | Iterable[Any], samples: int) -> list[Fold]:
    """The folds: of a number, those of scikit-learn's `KFold` without shuffling; else those given.

    Raises:
        TypeError: folds are neither a number nor pairs of indices.
        ValueError: there are fewer than 2, or more than samples; indices are out of range; a fold is empty,
            or holds out what it trains on.
    """
    try:
        count = operator.index(folds)  # type: ignore[arg-type]
    except TypeError:
        return _given(folds, samples)
    if isinstance(folds, bool):
        raise TypeError(f"folds is {folds!r}: expected an int, or pairs of indices (train, test)")
    if not 2 <= count <= samples:
        raise ValueError(
            f"folds is {count}, of {samples} samples: expected at least 2, and no more than samples"
        )
    everything = np.arange(samples)
    return [(np.setdiff1d(everything, test), test) for test in np.array_split(everything, count)]


def _given(folds: Any, samples: int) -> list[Fold]:
    try:
        pairs = [(np.asarray(train), np.asarray(test)) for train, test in folds]
    except (TypeError, ValueError):
        raise TypeError(
            f"folds is {folds!r} of type {type(folds).__name__}: expected an int, or pairs of indices "
            "(train, test), as `KFold(5).split(x)` gives them"
        ) from None
    if len(pairs) < 2:
        raise ValueError(f"there are {len(pairs)} folds: expected at least 2")
    for i, pair in enumerate(pairs):
        for name, indices in zip(("train", "test"), pair, strict=True):
            if indices.ndim != 1 or indices.dtype.kind not in "iu" or not indices.size:
                raise ValueError(
                    f"the {name} indices of fold {i} are of shape {indices.shape} and dtype {indices.dtype}: "
                    "expected integers, at least one"
                )
            if indices.min() < 0 or indices.max() >= samples:
                raise ValueError(
                    f"the {name} indices of fold {i} go from {indices.min()} to {indices.max()}: there are "
                    f"{samples} samples, 0 to {samples - 1}"
                )
        both = np.intersect1d(*pair)
        if both.size:
            raise ValueError(f"fold {i} holds out samples that it trains on: {both.tolist()[:20]}")
    return pairs


def of_equal_sizes(folds: list[Fold]) -> list[list[int]]:
    """The positions of the folds, those with the same numbers of samples together."""
    alike: dict[tuple[int, int], list[int]] = {}
    for i, (train, test) in enumerate(folds):
        alike.setdefault((len(train), len(test)), []).append(i)
    return list(alike.values())
