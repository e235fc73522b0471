"""StrengthSchedule in `fit`."""

import keras
import numpy as np
import pytest

import penalties
from penalties.keras import L1, L1L2, Penalized, Regularizer, StrengthSchedule, attach

from keras_case import ignore_numpy_copies, keras_rules, kernel_of, linear  # noqa: F401

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


@pytest.mark.slow
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
