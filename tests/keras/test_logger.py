"""SparsityLogger in `fit`."""

import jax
import keras
import numpy as np
import pytest

import penalties
from penalties.keras import L1, Penalized, Regularizer, SparsityLogger, StrengthSchedule, attach

from keras_case import (  # noqa: F401
    ignore_numpy_copies,
    keras_rules,
    kernel_of,
    linear,
    regression,
)

pytestmark = ignore_numpy_copies

ZEROS = np.zeros((8, 3), "float32"), np.zeros((8, 1), "float32")


@pytest.mark.parametrize("how", ["regularizer", "attach", "penalized"])
def test_zeros_and_the_penalty_are_logged(how):
    x, y = regression()
    penalty = penalties.L1(0.3)
    model = linear(12, kernel_regularizer=Regularizer(penalty) if how == "regularizer" else None)
    if how == "attach":
        attach(penalty.on("**/kernel"), model)
    optimizer = keras.optimizers.Adam(0.05)
    model.compile(Penalized(optimizer, penalty.on("**/kernel")) if how == "penalized" else optimizer, "mse")
    logger = SparsityLogger(per_weight=True)
    history = model.fit(x, y, epochs=60, verbose=0, callbacks=[logger]).history
    kernel = kernel_of(model)
    assert history["zeros"][-1] == np.mean(kernel == 0)
    assert history["zeros"][-1] == history[f"zeros/{model.layers[0].kernel.path}"][-1]
    assert history["penalty"][-1] == pytest.approx(0.3 * np.abs(kernel).sum(), rel=1e-5)
    assert (history["zeros"][-1] > 0.3) == (how == "penalized")
    assert len(history["zeros"]) == len(history["penalty"]) == len(history["loss"]) == 60


@pytest.mark.slow
@pytest.mark.parametrize("steps_per_execution", [1, 2])
def test_the_loss_of_the_data_is_logged_apart_from_the_penalty(steps_per_execution):
    x, y = regression(40)
    logs = []
    for regularizer in (L1(0.3), None):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((12,))
        hidden = keras.layers.Dense(
            4, kernel_regularizer=regularizer, activity_regularizer=regularizer, name="hidden"
        )(inputs)
        model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
        # Nothing moves, so that both see the same weights; 40 samples in uneven batches.
        model.compile(keras.optimizers.SGD(0.0), "mse", steps_per_execution=steps_per_execution)
        callbacks = [SparsityLogger()] if regularizer else []
        for _ in range(2):
            fit = model.fit(
                x, y, batch_size=16, epochs=2, verbose=0, callbacks=callbacks, validation_data=(x, y)
            )
            logs.append(fit.history)
        assert isinstance(model.evaluate(x, y, verbose=0), float)  # as without the callback
    for with_penalty, without in zip(logs[:2], logs[2:], strict=True):
        assert with_penalty["data_loss"] == pytest.approx(without["loss"], rel=1e-5)
        assert with_penalty["val_data_loss"] == pytest.approx(without["val_loss"], rel=1e-5)
        assert with_penalty["loss"][0] > with_penalty["data_loss"][0] + with_penalty["penalty"][0]


def test_the_tally_of_the_loss_changes_nothing_in_training():
    x, y = regression()
    kernels = []
    for callbacks in ([], [SparsityLogger()]):
        keras.utils.set_random_seed(0)
        model = linear(12, kernel_regularizer=L1(0.3))
        model.compile("adam", "mse")
        model.fit(x, y, epochs=3, verbose=0, callbacks=callbacks)
        kernels.append(kernel_of(model))
    np.testing.assert_array_equal(*kernels)


def test_a_small_loss_is_seen_beside_a_large_penalty():
    model = linear(3, kernel_regularizer=L1(1e9), bias_initializer="ones")
    model.compile(keras.optimizers.SGD(0.0), "mse")
    history = model.fit(*ZEROS, verbose=0, callbacks=[SparsityLogger()]).history
    assert history["data_loss"] == [1.0]
    assert history["loss"][0] > 1e8


def test_only_the_validation_data_counts_as_such():
    x, y = regression()

    class Evaluate(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.evaluate(x[:8], y[:8], verbose=0)

    model = linear(12, kernel_regularizer=L1(0.3))
    model.compile(keras.optimizers.SGD(0.0), "mse", metrics=["mse"])
    callbacks = [Evaluate(), SparsityLogger()]
    history = model.fit(x, y, epochs=2, verbose=0, callbacks=callbacks, validation_data=(x, y)).history
    assert history["val_data_loss"] == pytest.approx(history["val_mse"], rel=1e-6)
    assert "val_data_loss" not in model.fit(x, y, verbose=0, callbacks=callbacks).history


def test_the_loss_of_the_model_stays_its_own():
    model = linear(3, kernel_regularizer=L1(0.3))
    model.compile("sgd", "mse")
    before = model.compute_loss
    x, y = ZEROS
    seen = []

    class Compile(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(jax.jit(lambda: self.model.compute_loss(x, y, y_pred=self.model(x)))())

    model.fit(x, y, verbose=0, callbacks=[SparsityLogger(), Compile()])
    assert model.compute_loss == before
    assert np.isfinite(seen[0])
    model.evaluate(x, y, verbose=0)


class Additive(keras.Sequential):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean((y - y_pred) ** 2)


def test_a_loss_without_the_regularizers_is_not_tallied():
    model = Additive([keras.Input((3,)), keras.layers.Dense(1, kernel_regularizer=L1(0.3))])
    model.compile("sgd")
    history = model.fit(*ZEROS, verbose=0, callbacks=[SparsityLogger()]).history
    assert set(history) == {"loss", "zeros", "penalty"}


class Scaled(keras.Sequential):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return 2.0 * super().compute_loss(x, y, y_pred, sample_weight, training)


@pytest.mark.parametrize("on", ["class", "instance"])
def test_a_loss_of_a_users_own_is_trained_as_it_is(on):
    x, y = regression()
    kernels = []
    for callbacks in ([], [SparsityLogger()]):
        keras.utils.set_random_seed(0)
        make = Scaled if on == "class" else keras.Sequential
        model = make([keras.Input((12,)), keras.layers.Dense(1, kernel_regularizer=L1(0.3))])
        model.compile("sgd", "mse")
        if on == "instance":
            keras_own = model.compute_loss
            model.compute_loss = lambda *args, own=keras_own, **options: 2.0 * own(*args, **options)
        mine = model.compute_loss
        history = model.fit(x, y, epochs=3, verbose=0, callbacks=callbacks).history
        assert "data_loss" not in history
        assert model.compute_loss == mine
        kernels.append(kernel_of(model))
    np.testing.assert_array_equal(*kernels)


def test_fits_with_and_without_it_in_turn():
    x, y = regression()
    model = linear(12, kernel_regularizer=L1(0.3))
    traces = []

    def loss(y, predicted):
        traces.append(1)
        return keras.ops.mean((y - predicted) ** 2)

    model.compile(keras.optimizers.SGD(0.0), loss)
    model.evaluate(x, y, verbose=0, callbacks=[SparsityLogger()])
    model.fit(x, y, verbose=0)
    logger = [SparsityLogger()]
    logged = [model.fit(x, y, verbose=0, callbacks=logger).history["data_loss"] for _ in range(2)]
    compiled = len(traces)
    model.fit(x, y, verbose=0)
    logged.append(model.fit(x, y, verbose=0, callbacks=logger).history["data_loss"])
    np.testing.assert_allclose(np.ravel(logged), logged[0][0], rtol=1e-6)
    assert len(traces) == compiled


def test_it_goes_on_after_a_fit_that_failed_and_within_a_running_one():
    x, y = regression()
    model = linear(12, kernel_regularizer=L1(0.3))
    model.compile("sgd", "mse")

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, verbose=0, callbacks=[SparsityLogger(), Stop()])

    class Evaluate(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.evaluate(x, y, verbose=0, callbacks=[SparsityLogger()])

    history = model.fit(x, y, epochs=2, verbose=0, callbacks=[SparsityLogger(), Evaluate()]).history
    assert len(history["data_loss"]) == 2
    assert "compute_loss" not in vars(model)


class OldFashioned(keras.Model):
    """A `compute_loss` as it was before Keras 3.3."""

    def __init__(self):
        super().__init__()
        self.last = keras.layers.Dense(1, kernel_regularizer=L1(0.3))

    def call(self, x):
        return self.last(x)

    def compute_loss(self, x, y, y_pred, sample_weight):
        return super().compute_loss(x, y, y_pred, sample_weight)


def test_a_loss_that_does_not_know_of_training_is_left_alone():
    model = OldFashioned()
    model.compile("sgd", "mse")
    assert set(model.fit(*ZEROS, verbose=0, callbacks=[SparsityLogger()]).history) == {
        "loss",
        "zeros",
        "penalty",
    }


def test_the_progress_bar_shows_them(capsys):
    model = linear(3, kernel_initializer="zeros", kernel_regularizer=L1(0.1))
    model.compile("sgd", "mse")
    model.fit(*ZEROS, verbose=2, callbacks=[SparsityLogger(), StrengthSchedule(lambda step: 1.0)])
    shown = capsys.readouterr().out
    assert "zeros: 1.0" in shown
    assert "penalty: 0.0" in shown
    assert "strength: 0.1" in shown


def test_penalized_inside_a_loss_scale_optimizer_is_found():
    model = linear(3)
    penalized = Penalized("sgd", penalties.L1(0.1).on("**/kernel"))
    model.compile(keras.optimizers.LossScaleOptimizer(penalized), "mse")
    schedule = StrengthSchedule(lambda step: 2.0)
    history = model.fit(*ZEROS, verbose=0, callbacks=[SparsityLogger(), schedule]).history
    assert history["strength"] == [0.2]
    assert set(history) == {"loss", "zeros", "penalty", "strength", "strength_factor"}


def test_nothing_penalized_is_an_error():
    model = linear(3)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="no penalized weight"):
        model.fit(*ZEROS, verbose=0, callbacks=[SparsityLogger()])
