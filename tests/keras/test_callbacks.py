"""StrengthSchedule and SparsityLogger in `fit`; describe on Keras models."""

import jax
import keras
import numpy as np
import pytest

import penalties
from penalties.keras import L1, L1L2, Penalized, Regularizer, SparsityLogger, StrengthSchedule, attach

from keras_case import ignore_numpy_copies, keras_rules, kernel_of, linear, regression  # noqa: F401

pytestmark = ignore_numpy_copies

ZEROS = np.zeros((8, 3), "float32"), np.zeros((8, 1), "float32")


def pulled_by_the_penalty_alone(regularizer, rate=0.1):
    """With inputs of zero, SGD moves the kernel by rate · factor · strength a batch, and nothing else."""
    model = linear(3, kernel_initializer="ones", kernel_regularizer=regularizer)
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


def test_each_batch_is_trained_with_its_factor():
    model = pulled_by_the_penalty_alone(L1(0.5))
    factors = [0.0, 1.0, 2.0, 0.5, 0.5, 4.0]
    schedule = StrengthSchedule(lambda step: factors[step])
    history = model.fit(*ZEROS, batch_size=4, epochs=3, verbose=0, callbacks=[schedule]).history
    np.testing.assert_allclose(kernel_of(model), 1 - 0.1 * 0.5 * sum(factors), rtol=1e-5)
    assert history["strength_factor"] == [1.0, 0.5, 4.0]
    assert history["strength"] == [0.5, 0.25, 2.0]
    assert float(sum(model.losses)) == pytest.approx(3 * 0.5 * float(kernel_of(model)[0, 0]))  # factor 1


def test_steps_go_on_in_the_next_fit_and_with_accumulated_gradients():
    seen = []

    def constant(step):
        seen.append(step)
        return 1.0

    model = linear(3, kernel_regularizer=L1(0.1))
    model.compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), "mse")
    for _ in range(2):
        model.fit(*ZEROS, batch_size=4, epochs=2, verbose=0, callbacks=[StrengthSchedule(constant)])
    assert seen == list(range(8))


def test_a_new_factor_is_no_new_compile():
    traces = []

    def loss(y, predicted):
        traces.append(1)
        return keras.ops.mean((y - predicted) ** 2)

    model = linear(3, kernel_regularizer=L1(0.1))
    model.compile(Penalized("adam", penalties.L1(0.1).on("**/kernel")), loss)
    schedule = StrengthSchedule(lambda step: step / 10)
    model.fit(*ZEROS, batch_size=2, epochs=1, verbose=0, callbacks=[schedule])
    first = len(traces)
    model.fit(
        *ZEROS, batch_size=2, epochs=5, verbose=0, callbacks=[StrengthSchedule(lambda step: 1 / (1 + step))]
    )
    assert len(traces) == first


def test_all_regularizers_and_penalized_follow():
    inputs = keras.Input((3,))
    ours = Regularizer(penalties.GroupLasso(0.5))
    hidden = keras.layers.Dense(2, kernel_regularizer=L1L2(0.1, 0.2), activity_regularizer=ours)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
    attach(penalties.L1(0.3).on("dense*/kernel", exclude=model.layers[1].kernel.path), model)
    model.compile(Penalized("sgd", penalties.L1(0.4).on("**/bias")), "mse", metrics=["mse"])
    ones = np.ones((8, 3)), np.ones((8, 1))
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(float(self.model.optimizer.strength_factor.value))

    schedule = StrengthSchedule(lambda step: step / 2)
    history = model.fit(*ones, epochs=2, verbose=0, callbacks=[schedule, Watch()]).history
    assert seen == [0.0, 0.5]
    assert history["loss"][0] == pytest.approx(history["mse"][0], rel=1e-6)
    assert history["loss"][1] > history["mse"][1] + 0.1
    assert "strength" not in history  # there are several
    assert float(model.optimizer.strength_factor.value) == 1


def test_the_strength_of_penalized_is_scheduled():
    model = linear(3, kernel_initializer="ones")
    model.compile(Penalized(keras.optimizers.SGD(0.1), penalties.L1(0.5).on("**/kernel")), "mse")
    factors = [1.0, 0.0, 2.0, 0.0]
    schedule = StrengthSchedule(lambda step: factors[step])
    model.fit(*ZEROS, batch_size=2, verbose=0, callbacks=[schedule])
    np.testing.assert_allclose(kernel_of(model), 1 - 0.1 * 0.5 * 3, rtol=1e-5)


def test_models_are_saved_with_their_own_strengths(tmp_path):
    model = pulled_by_the_penalty_alone(L1(0.5))
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras")
    schedule = StrengthSchedule(lambda step: 0.25)
    model.fit(*ZEROS, verbose=0, callbacks=[schedule, checkpoint], validation_data=ZEROS)
    model.save(tmp_path / "model.keras")
    for name in ("best", "model"):
        loaded = keras.models.load_model(tmp_path / f"{name}.keras")
        assert loaded.layers[0].kernel_regularizer.l1 == 0.5
        assert float(loaded.losses[0]) == float(model.losses[0])
        loaded.fit(*ZEROS, verbose=0)
    assert keras.models.clone_model(model).layers[0].kernel_regularizer.l1 == 0.5
    assert len(model.weights) == 2  # the factor is none


def test_schedules_of_optax_and_keras():
    optax = pytest.importorskip("optax")
    for schedule in (
        optax.linear_schedule(0.0, 1.0, 4),
        keras.optimizers.schedules.PolynomialDecay(0.0, 4, 1.0),
    ):
        model = pulled_by_the_penalty_alone(L1(0.5))
        model.fit(*ZEROS, batch_size=2, verbose=0, callbacks=[StrengthSchedule(schedule)])
        np.testing.assert_allclose(kernel_of(model), 1 - 0.1 * 0.5 * 1.5, rtol=1e-5)


def test_what_schedules_refuse():
    with pytest.raises(TypeError, match=r"0\.5 of type float: expected a function"):
        StrengthSchedule(0.5)
    plain = linear(3, kernel_regularizer=keras.regularizers.L1(0.1))
    plain.compile("sgd", "mse")
    with pytest.raises(ValueError, match="finds nothing to schedule"):
        plain.fit(*ZEROS, verbose=0, callbacks=[StrengthSchedule(lambda step: 1.0)])
    for factor in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="for step 0: expected a finite number"):
            pulled_by_the_penalty_alone(L1(0.1)).fit(
                *ZEROS, verbose=0, callbacks=[StrengthSchedule(lambda step, factor=factor: factor)]
            )


def test_other_models_with_the_same_regularizer_do_not_follow():
    shared = keras.layers.Dense(3, kernel_regularizer=L1(0.1))
    scheduled, other = (
        keras.Sequential([keras.Input((3,)), shared, keras.layers.Dense(1)]) for _ in range(2)
    )
    scheduled.compile(keras.optimizers.SGD(0.0), "mse")
    other.compile(keras.optimizers.SGD(0.0), "mse", metrics=["mse"])
    penalties_of_other = []

    class Evaluate(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            loss, mse = other.evaluate(*ZEROS, verbose=0)
            penalties_of_other.append(loss - mse)

    schedule = StrengthSchedule(lambda step: 0.25)
    scheduled.fit(*ZEROS, verbose=0, callbacks=[schedule, Evaluate()])
    loss, mse = other.evaluate(*ZEROS, verbose=0)
    expected = 0.1 * np.abs(np.asarray(shared.kernel.value)).sum()
    np.testing.assert_allclose([*penalties_of_other, loss - mse], [expected] * 2, rtol=1e-5)


class Failing(keras.Sequential):
    def train_step(self, *arguments):
        raise RuntimeError("failing")


def test_a_fit_that_fails_leaves_the_regularizer_as_it_was():
    regularizer = L1(0.5)
    failing = Failing([keras.Input((3,)), keras.layers.Dense(1, kernel_regularizer=regularizer)])
    failing.compile("sgd", "mse")
    with pytest.raises(RuntimeError, match="failing"):
        failing.fit(*ZEROS, verbose=0, callbacks=[StrengthSchedule(lambda step: 0.25)])
    assert float(regularizer(np.ones(4, "float32"))) == 2.0
    model = pulled_by_the_penalty_alone(regularizer)
    model.fit(*ZEROS, verbose=0)
    np.testing.assert_allclose(kernel_of(model), 1 - 0.1 * 0.5, rtol=1e-6)


@pytest.mark.usefixtures("x64")
def test_float64_keeps_its_strengths(monkeypatch):
    keras.config.set_floatx("float64")
    try:
        model = pulled_by_the_penalty_alone(L1(0.1))
        model.fit(*ZEROS, verbose=0, callbacks=[StrengthSchedule(lambda step: 1.0)])
        np.testing.assert_allclose(kernel_of(model), 1 - 0.1 * 0.1, rtol=1e-8)  # of a rate in float32
    finally:
        keras.config.set_floatx("float32")


@pytest.mark.parametrize("wrong", ["a", None, np.array([0.5]), -1.0, float("nan")])
def test_a_schedule_that_returns_no_factor_is_named(wrong):
    with pytest.raises(ValueError, match=r"the schedule of StrengthSchedule returned .* for step 0"):
        pulled_by_the_penalty_alone(L1(0.1)).fit(
            *ZEROS, verbose=0, callbacks=[StrengthSchedule(lambda step: wrong)]
        )


# SparsityLogger.


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


# describe, and all that takes params.


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
