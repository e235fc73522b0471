"""Whose strengths count: in files, and when they are changed."""

import keras
import numpy as np
import pytest

import penalties
from penalties.keras import Penalized, StrengthSchedule

from keras_case import ignore_numpy_copies, keras_rules, kernel_of, linear, regression  # noqa: F401

pytestmark = ignore_numpy_copies

X, Y = np.zeros((8, 3), "float32"), np.zeros((8, 1), "float32")
KERNEL = "**/kernel"


def pulled(strength, wrap=lambda optimizer: optimizer, rate=0.125):
    """With inputs of zero, a step moves the kernel by rate · strength, and nothing else."""
    model = linear(3, kernel_initializer="ones")
    model.compile(wrap(Penalized(keras.optimizers.SGD(rate), penalties.L1(strength).on(KERNEL))), "mse")
    return model


def step(model, **options):
    """How far one step moves the kernel."""
    before = kernel_of(model)[0, 0]
    model.fit(X, Y, batch_size=8, verbose=0, **options)
    return before - kernel_of(model)[0, 0]


@pytest.mark.parametrize("what", ["weights", "model", "optimizer"])
def test_the_strengths_of_the_penalty_win_over_those_of_a_file(what, tmp_path):
    saved, model = pulled(0.5), pulled(1.0)
    step(saved)
    step(model)
    if what == "weights":
        saved.save_weights(tmp_path / "saved.weights.h5")
        model.load_weights(tmp_path / "saved.weights.h5")
    elif what == "model":
        saved.save(tmp_path / "saved.keras")
        model.load_weights(tmp_path / "saved.keras")
    else:
        model.optimizer.set_weights([np.asarray(v.value) for v in saved.optimizer.variables])
    assert model.optimizer.penalty == penalties.L1(1.0).on(KERNEL)
    assert step(model) == 0.125


def test_a_loaded_model_has_the_penalty_it_was_saved_with(tmp_path):
    model = pulled(0.5)
    step(model, callbacks=[StrengthSchedule(lambda step: 3.0)])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.penalty == penalties.L1(0.5).on(KERNEL)
    assert step(loaded) == 0.0625


@pytest.mark.parametrize("when", ["compiled", "trained"])
def test_another_penalty_can_be_set(when):
    model = pulled(0.5)
    if when == "trained":
        assert step(model) == 0.0625
    model.optimizer.penalty = penalties.L1(1.0).on(KERNEL)
    assert model.optimizer.penalty == penalties.L1(1.0).on(KERNEL)
    assert step(model) == 0.125
    model.optimizer.penalty = penalties.L1(2.0).on(KERNEL)
    assert step(model) == 0.25
    assert step(model, callbacks=[StrengthSchedule(lambda step: 0.5)]) == 0.125


def test_before_training_it_may_be_of_any_kind():
    model = pulled(0.5)
    model.optimizer.penalty = penalties.ElasticNet(1.0, 0.25).on(KERNEL)
    assert step(model) == 0.125 * 1.5


def test_a_second_change_is_no_new_compile():
    traces = []

    def loss(y, predicted):
        traces.append(1)
        return keras.ops.mean((y - predicted) ** 2)

    model = pulled(0.5)
    model.compile(model.optimizer, loss)
    seen = []
    for strength in (0.5, 1.0, 1.5, 2.0):
        model.optimizer.penalty = penalties.L1(strength).on(KERNEL)
        assert step(model) == 0.125 * strength
        seen.append(len(traces))
    assert seen[1] == seen[2] == seen[3]


def test_a_callback_changes_it_within_a_fit():
    class Double(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.optimizer.penalty = 2 * self.model.optimizer.penalty

    model = pulled(0.5, rate=1 / 64)
    assert step(model, epochs=3, callbacks=[Double()]) == 0.5 / 64 * (1 + 2 + 4)


@pytest.mark.parametrize("scaled", [False, True])
def test_a_changed_penalty_is_saved(scaled, tmp_path):
    wrap = keras.optimizers.LossScaleOptimizer if scaled else lambda optimizer: optimizer
    model = pulled(0.5, wrap)
    step(model)
    penalized = model.optimizer.inner_optimizer if scaled else model.optimizer
    penalized.penalty = penalties.L1(1.0).on(KERNEL)
    step(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert int(loaded.optimizer.iterations) == 2
    assert step(loaded) == step(model) == 0.125


@pytest.mark.parametrize(
    "other",
    [penalties.L1(1.0), penalties.L2(1.0).on(KERNEL), penalties.L1(np.ones((3, 1), "float32")).on(KERNEL)],
)
def test_another_kind_of_penalty_is_refused_after_training(other):
    model = pulled(0.5)
    step(model)
    with pytest.raises(ValueError, match=r"compile the model anew, with model\.compile\(Penalized\("):
        model.optimizer.penalty = other
    assert step(model) == 0.0625


def test_what_is_no_penalty_is_refused():
    model = pulled(0.5)
    with pytest.raises(TypeError, match=r"0\.5 of type float: expected a Penalty"):
        model.optimizer.penalty = 0.5
    with pytest.raises(TypeError, match=r"of type function: expected a .*StrengthSchedule\(lambda step"):
        Penalized("adam", lambda step: penalties.L1(0.1))
