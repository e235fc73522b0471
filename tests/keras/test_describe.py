"""What takes params takes Keras models: describe, sparsity, values."""

import keras
import numpy as np
import pytest

import penalties
from penalties.keras import Penalized, attach

from keras_case import ignore_numpy_copies, keras_rules  # noqa: F401

pytestmark = ignore_numpy_copies


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


def net():
    """A kernel of ones and one of zeros, and weights that are not trained."""
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, kernel_initializer="ones", name="first"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dense(1, kernel_initializer="zeros", name="last"),
        ],
        name="net",
    )


def test_a_variable_is_an_array():
    kernel = net().layers[0].kernel
    assert float(penalties.L1(0.5)(kernel)) == 6.0
    assert float(penalties.L1(0.5).on("**/kernel")(kernel)) == 6.0
    shrunk = penalties.L1(0.25).prox(kernel)
    assert shrunk.shape == (4, 3)
    assert np.all(np.asarray(shrunk) == 0.75)
    assert penalties.sparsity(kernel).size == 12
    assert float(penalties.L1(0.5)({"a": kernel, "b": np.ones(2, "float32")})) == 7.0


def test_lists_of_variables_have_keras_paths():
    model = net()
    penalty = penalties.L1(0.5).on("**/kernel")
    for variables in (model.trainable_variables, tuple(model.trainable_variables)):
        assert float(penalty(variables)) == 6.0
        assert dict(penalties.describe(penalty, variables)) == dict(penalties.describe(penalty, model))
        assert float(penalties.sparsity(variables, penalties.kernels).share) == pytest.approx(3 / 15)
    kernel, bias, *rest = penalty.prox(model.trainable_variables)
    assert np.all(np.asarray(kernel) == 0.5)
    assert bias.shape == (3,)
    assert len(rest) == 4


def test_variables_that_are_not_trained_do_not_count():
    model = net()
    description = penalties.describe(penalties.L1(0.5), model.weights)
    assert not description["net/norm/moving_mean"]["trainable"]
    assert description.size == penalties.describe(penalties.L1(0.5), model).size == 25
    assert float(penalties.L1(1.0)(model.weights)) == float(penalties.L1(1.0)(model)) == 15.0


def test_describe_counts_what_penalized_trains():
    """Not the scales of float8, which are overwritten and not trained."""
    model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(16)])
    model.layers[0].quantize("float8")
    optimizer = Penalized("sgd", penalties.L1(0.1))
    optimizer.build(model.trainable_variables)
    penalized = [v for v in model.trainable_variables if optimizer.penalty_of(v) is not None]
    assert [v.name for v in penalized] == ["kernel", "bias"]
    assert penalties.describe(optimizer.penalty, model).penalized == 16 * 16 + 16
    kernel = np.abs(np.asarray(model.layers[0].kernel.value)).sum()
    assert float(penalties.L1(1.0)(model)) == pytest.approx(kernel, rel=1e-6)


def test_the_name_of_the_model_may_be_left_out():
    penalty = penalties.L1(0.5).on("*/kernel", exclude="first/**")
    model = net()
    description = penalties.describe(penalty, model)
    assert [path for path, row in description.items() if row["penalty"]] == ["net/last/kernel"]
    optimizer = Penalized("sgd", penalty)
    optimizer.build(model.trainable_variables)
    assert [v.path for v in model.trainable_variables if optimizer.penalty_of(v)] == ["net/last/kernel"]
    attach(penalty, model)
    assert [v.path for v in model.trainable_variables if v.regularizer] == ["net/last/kernel"]
    nested = keras.Sequential([keras.Input((4,)), net(), keras.layers.Dense(1)], name="outer")
    assert float(penalties.L1(0.5).on("net/first/kernel")(nested)) == 6.0
    with pytest.raises(ValueError, match="matches none"):
        penalties.L1(0.5).on("rst/kernel")(model)


def test_two_layers_of_one_name_are_told_apart():
    class Twins(keras.Model):
        def __init__(self):
            super().__init__()
            self.one = keras.layers.Dense(1, name="twin", kernel_initializer="ones")
            self.two = keras.layers.Dense(1, name="twin", kernel_initializer="ones")

        def call(self, x):
            return self.one(x) + self.two(x)

    model = Twins()
    model(np.ones((1, 4)))
    assert len({v.path for v in model.trainable_variables}) == 2
    for where in ("**/twin/kernel", "twin/kernel", "**/kernel"):
        penalty = penalties.L1(1.0).on(where)
        assert float(penalty(model)) == 8.0
        assert penalties.describe(penalty, model).penalized == 8
        optimizer = Penalized("sgd", penalty)
        optimizer.build(model.trainable_variables)
        assert sum(optimizer.penalty_of(v) is not None for v in model.trainable_variables) == 2
