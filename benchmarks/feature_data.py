"""The data of `benchmarks.feature_selection`: to train on, to choose by, and to test on, standardized.

What is synthetic has 2,000 rows and more to test on. "diabetes + 10" and "friedman, 200" are LassoNet's own
examples.
"""

from typing import NamedTuple

import numpy as np
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    make_classification,
    make_friedman1,
)
from sklearn.model_selection import train_test_split

NAMES = (
    "diabetes + 10",
    "friedman, 200",
    "friedman, 100",
    "breast cancer + 100",
    "digits",
    "classification, 500",
)


class Data(NamedTuple):
    x: np.ndarray
    y: np.ndarray


class Problem(NamedTuple):
    """Three splits, how many classes there are (0 for a regression), and which features are real."""

    train: Data
    validation: Data
    test: Data
    classes: int
    real: frozenset[int]


def _friedman(rng: np.random.Generator, n: int, noisy: int) -> tuple[np.ndarray, np.ndarray]:
    """As in LassoNet's example: noise of half the standard deviation, and none in the test data."""
    x = rng.random((n, 200))
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    y[:noisy] += 0.5 * y[:noisy].std() * rng.standard_normal(noisy)
    return x, y


def load(name: str, seed: int) -> Problem:
    """One of `NAMES`, split and drawn by a seed."""
    rng = np.random.default_rng(seed)
    # How many are trained on and chosen by, where the rows are in order already; else 60, 20 and 20 %.
    sizes: tuple[int, int] | None = None
    real, classes = range(0), 0
    if name == "diabetes + 10":
        x, y = load_diabetes(return_X_y=True)
        x, real = np.concatenate([x, rng.standard_normal(x.shape)], 1), range(10)
    elif name == "friedman, 200":
        (x, y), sizes, real = _friedman(rng, 3_000, 1_000), (750, 250), range(5)
    elif name == "friedman, 100":
        x, y = make_friedman1(2_500, 100, noise=1.0, random_state=seed)
        sizes, real = (375, 125), range(5)
    elif name == "breast cancer + 100":
        x, y = load_breast_cancer(return_X_y=True)
        x, real, classes = np.concatenate([x, rng.standard_normal((len(x), 100))], 1), range(30), 2
    elif name == "digits":
        (x, y), classes = load_digits(return_X_y=True), 10
    elif name == "classification, 500":
        x, y = make_classification(
            5_000,
            500,
            n_informative=20,
            n_redundant=0,
            n_clusters_per_class=4,
            class_sep=1.5,
            flip_y=0.02,
            shuffle=False,
            random_state=seed,
        )
        order = rng.permutation(len(y))
        x, y, sizes, real, classes = x[order], y[order], (1_125, 375), range(20), 2
    else:
        raise ValueError(f"{name!r} is not one of {NAMES}")
    # In an order that says nothing, so that no method is helped by how it breaks ties.
    columns = rng.permutation(x.shape[1])
    found = frozenset(np.flatnonzero(np.isin(columns, real)).tolist())
    return _standardized(*_split(x[:, columns], y, sizes, classes, seed), classes, found)


def _split(
    x: np.ndarray, y: np.ndarray, sizes: tuple[int, int] | None, classes: int, seed: int
) -> tuple[Data, Data, Data]:
    if sizes is not None:
        ends = (sizes[0], sum(sizes))
        return tuple(Data(a, b) for a, b in zip(np.split(x, ends), np.split(y, ends), strict=True))
    rest, x_test, y_rest, y_test = train_test_split(
        x, y, test_size=0.2, random_state=seed, stratify=y if classes else None
    )
    parts = train_test_split(
        rest, y_rest, test_size=0.25, random_state=seed, stratify=y_rest if classes else None
    )
    return Data(parts[0], parts[2]), Data(parts[1], parts[3]), Data(x_test, y_test)


def _standardized(train: Data, validation: Data, test: Data, classes: int, real: frozenset[int]) -> Problem:
    """By mean and standard deviation of what is trained on; a column that is constant there stays so."""
    mean, std = train.x.mean(0), train.x.std(0)
    std = np.where(std > 1e-6, std, 1)
    level, scale = (0, 1) if classes else (train.y.mean(), train.y.std())

    def of(data: Data) -> Data:
        y = data.y.astype(np.int32) if classes else ((data.y - level) / scale).astype(np.float32)
        return Data(((data.x - mean) / std).astype(np.float32), y)

    return Problem(of(train), of(validation), of(test), classes, real)
