"""A bare penalty in the place of a Keras regularizer."""

import json
import zipfile

import jax.numpy as jnp
import keras
import numpy as np
import pytest

import penalties
from penalties.keras import Regularizer, SparsityLogger, StrengthSchedule, attach

from keras_case import ignore_numpy_copies, keras_rules, kernel_of, linear, regression  # noqa: F401

OLDER = tuple(map(int, keras.__version__.split(".")[:2])) < (3, 15)
pytestmark = [
    ignore_numpy_copies,
    pytest.mark.skipif(OLDER, reason="before 3.15 Keras itself takes subclasses of its Regularizer only"),
]


class FourthPower(penalties.Penalty):
    """A penalty of a user's own."""

    strength: float

    def value_at(self, w):
        return jnp.sum(self.strength * w**4)


PENALTIES = [
    penalties.L1(0.3),
    penalties.L1(0.1) + penalties.L2(0.2),
    penalties.GroupLasso(0.1),
    FourthPower(0.1),
]


@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
def test_it_trains_and_is_saved_as_its_regularizer_is(penalty, tmp_path):
    x, y = regression()
    kernels = []
    for regularizer in (penalty, Regularizer(penalty)):
        keras.utils.set_random_seed(0)
        model = linear(12, kernel_regularizer=regularizer)
        model.compile("adam", "mse")
        model.fit(x, y, epochs=2, verbose=0)
        kernels.append(kernel_of(model))
        model.save(tmp_path / "model.keras")
        copies = [keras.models.load_model(tmp_path / "model.keras"), keras.models.clone_model(model)]
        for one in copies:
            assert one.layers[0].kernel_regularizer.penalty == penalty
            assert type(one.layers[0].kernel.regularizer) is Regularizer
        assert float(copies[0].losses[0]) == float(model.losses[0]) == float(penalty(model.layers[0].kernel))
    np.testing.assert_array_equal(*kernels)


def test_a_file_has_the_name_of_regularizer_and_no_path_of_ours(tmp_path):
    linear(3, kernel_regularizer=penalties.L1(0.5)).save(tmp_path / "model.keras")
    config = json.loads(zipfile.ZipFile(tmp_path / "model.keras").read("config.json"))
    written = config["config"]["layers"][1]["config"]["kernel_regularizer"]
    assert written["registered_name"] == "penalties>Regularizer"
    assert written["config"] == {"penalty": {"name": "L1", "strength": 0.5}}
    assert keras.saving.get_registered_object("penalties>Regularizer") is Regularizer
    assert keras.saving.get_registered_object("penalties>L1") is penalties.keras.L1


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "bfloat16"])
def test_biases_and_outputs_and_half_precision(policy):
    penalty = penalties.L1(0.25)
    models = []
    for regularizer in (penalty, Regularizer(penalty)):
        keras.utils.set_random_seed(0)
        options = {"bias_regularizer": regularizer, "activity_regularizer": regularizer}
        model = linear(3, dtype=policy, bias_initializer="ones", kernel_regularizer=regularizer, **options)
        model.compile("sgd", "mse")
        model.fit(np.ones((8, 3)), np.ones((8, 1)), verbose=0)
        models.append(np.asarray(model.layers[0].kernel.value, "float32"))
    np.testing.assert_array_equal(*models)


def test_callbacks_take_it_as_a_regularizer():
    model = linear(
        3,
        kernel_initializer="ones",
        kernel_regularizer=penalties.L1(0.5),
        activity_regularizer=penalties.L1(1.0),
    )
    model.compile(keras.optimizers.SGD(0.1), "mse")
    zeros = np.zeros((8, 3), "float32"), np.zeros((8, 1), "float32")
    callbacks = [StrengthSchedule(lambda step: 2.0), SparsityLogger()]
    history = model.fit(*zeros, verbose=0, callbacks=callbacks).history
    np.testing.assert_allclose(kernel_of(model), 1 - 0.1 * 0.5 * 2, rtol=1e-6)
    assert history["penalty"] == pytest.approx([2.0 * 0.5 * 0.9 * 3])


def test_attach_knows_it():
    model = linear(3, kernel_regularizer=penalties.L1(0.5))
    attach(penalties.L1(0.5).on("**/kernel"), model)
    with pytest.raises(ValueError, match="has the regularizer"):
        attach(penalties.L1(0.1).on("**/kernel"), model)


def test_a_selection_cannot_be_saved():
    layer = keras.layers.Dense(1, kernel_regularizer=penalties.L1(0.5).on("**/kernel"))
    with pytest.raises(ValueError, match=r"penalties\.keras\.attach"):
        layer.get_config()
