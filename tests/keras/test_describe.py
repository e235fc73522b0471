"""What takes params takes Keras models: describe, sparsity, values."""

import keras
import numpy as np
import pytest

import penalties

from keras_case import ignore_numpy_copies, keras_rules  # noqa: F401

pytestmark = ignore_numpy_copies

ZEROS = np.zeros((8, 3), "float32"), np.zeros((8, 1), "float32")


def test_describe_takes_keras_models():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, kernel_initializer="ones", name="first"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dense(1, kernel_initializer="zeros", name="last"),
        ],
        name="net",
    )
    penalty = penalties.L1(0.5).on(penalties.kernels)
    description = penalties.describe(penalty, model)
    assert description["net/first/kernel"]["value"] == 6.0
    assert description["net/last/kernel"]["zeros"] == 3
    assert description["net/norm/gamma"]["penalty"] is None
    assert description.total == float(penalty(model)) == 6.0
    assert float(penalties.sparsity(model, penalties.kernels).share) == pytest.approx(3 / 15)
    with pytest.raises(ValueError, match="Did you mean 'net/first/kernel'"):
        penalties.describe(penalties.L1(0.5).on("net/frist/kernel"), model)
    first = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="first")], name="net")
    assert len(penalties.describe(penalties.L1(1.0), first.layers[0])) == 2
