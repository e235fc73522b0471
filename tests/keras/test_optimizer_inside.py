"""What stays the inner optimizer's when penalties.keras.Penalized is around it."""

import pickle

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from jax.experimental import sparse

import penalties
from penalties.keras import Penalized, SparsityLogger, StrengthSchedule

from keras_case import (  # noqa: F401
    FEATURES,
    compiled,
    ignore_numpy_copies,
    keras_rules,
    kernel_of,
    kernel_of_layer,
    linear,
    multiple,
    regression,
    share_of_zeros,
)

pytestmark = ignore_numpy_copies


@pytest.mark.parametrize("around", [False, True])
def test_a_step_of_a_loss_scale_optimizer_that_overflows_is_skipped(around):
    model = linear(3, kernel_initializer="ones")
    inner, penalty = keras.optimizers.SGD(0.5), penalties.L1(0.5).on("**/kernel")
    scale = keras.optimizers.LossScaleOptimizer
    optimizer = scale(Penalized(inner, penalty)) if around else Penalized(scale(inner), penalty)
    optimizer.build(model.trainable_variables)

    def step(gradient):
        values = [v.value for v in model.trainable_variables]
        state = [v.value for v in optimizer.variables]
        grads = [jnp.full((3, 1), gradient), jnp.zeros(1)]
        new, state = jax.jit(optimizer.stateless_apply)(state, grads, values)
        for v, value in zip(model.trainable_variables + optimizer.variables, [*new, *state], strict=True):
            v.assign(value)
        return np.asarray(new[0])

    assert np.all(step(np.inf) == 1)
    assert np.all(step(np.nan) == 1)
    assert np.all(step(0.0) == 0.75)
    assert all(np.all(np.isfinite(np.asarray(v.value))) for v in optimizer.variables)


@pytest.mark.parametrize(("overwrite", "share"), [(None, 0.4), (5, 0.2)])
def test_moving_averages_keep_the_zeros(overwrite, share):
    x, y = regression(256)
    inner = keras.optimizers.Adam(0.02, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=overwrite)
    model = compiled(inner)
    zeros = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            zeros[:] = [np.asarray(v.value == 0) for v in self.model.trainable_variables]

    model.fit(x, y, batch_size=32, epochs=30, verbose=0, callbacks=[Watch()])
    assert share_of_zeros(model) > share  # of the averages, which `fit` ends with
    for zero, variable in zip(zeros, model.trainable_variables, strict=True):
        assert np.all(np.asarray(variable.value)[zero] == 0)


def test_swapping_averages_in_for_evaluation_keeps_the_zeros():
    x, y = regression(256)
    model = compiled(keras.optimizers.Adam(0.02, use_ema=True, ema_momentum=0.9))
    shares = []
    count = keras.callbacks.LambdaCallback(on_test_end=lambda logs: shares.append(share_of_zeros(model)))
    swap = keras.callbacks.SwapEMAWeights()
    model.fit(x, y, batch_size=32, epochs=30, verbose=0, validation_data=(x, y), callbacks=[count, swap])
    assert shares[-1] > 0.4


def test_a_multi_optimizer_inside_and_its_moving_averages():
    x, y = regression(256)
    kernels = []
    for wrap in (multiple, lambda optimizer: optimizer):
        keras.utils.set_random_seed(0)
        model = linear(FEATURES)
        inner = wrap(keras.optimizers.Adam(0.05, use_ema=True, ema_momentum=0.9))
        model.compile(Penalized(inner, penalties.L1(0.3).on("**/kernel")), "mse")
        model.fit(x, y, epochs=40, verbose=0)
        kernels.append(kernel_of(model))
    np.testing.assert_array_equal(*kernels)
    assert np.sum(kernels[0] == 0) > 4


def test_callbacks_find_it_inside_a_multi_optimizer():
    x, y = regression()
    penalty = penalties.L1(0.3).on("**/kernel")
    model = linear(FEATURES)
    model.compile(multiple(Penalized(keras.optimizers.Adam(0.05), penalty)), "mse")
    callbacks = [SparsityLogger(), StrengthSchedule(lambda step: 0.5)]
    history = model.fit(x, y, epochs=2, verbose=0, callbacks=callbacks).history
    assert history["penalty"][-1] == pytest.approx(0.15 * np.abs(kernel_of(model)).sum(), rel=1e-5)
    assert history["strength"] == [0.15, 0.15]


def test_the_scales_of_float8_are_not_gradients():
    x = np.random.default_rng(0).normal(size=(32, 16)).astype("float32")
    scales = []
    for wrap in (lambda o: o, lambda o: Penalized(o, penalties.L1(1e-9).on("**/kernel"))):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(16)])
        model.layers[0].quantize("float8")
        model.compile(wrap(keras.optimizers.SGD(0.01, loss_scale_factor=64.0)), "mse")
        model.fit(x, x, verbose=0)
        overwritten = [v for v in model.trainable_variables if v.overwrite_with_gradient]
        scales.append([np.asarray(v.value) for v in overwritten])
    assert len(scales[0]) == 6
    for theirs, ours in zip(*scales, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_an_explicit_loss_scale_factor_wins():
    optimizer = Penalized(
        keras.optimizers.SGD(0.1, loss_scale_factor=8.0), penalties.L1(0.1), loss_scale_factor=16.0
    )
    assert optimizer.loss_scale_factor == 16
    assert optimizer.inner_optimizer.loss_scale_factor is None


def test_constraints_hold_after_the_zeros():
    model = linear(4, kernel_initializer="ones", kernel_constraint=keras.constraints.UnitNorm())
    optimizer = Penalized(keras.optimizers.SGD(0.5), penalties.L1(0.1).on("**/kernel"))
    optimizer.build(model.trainable_variables)
    optimizer.apply([jnp.array([[0.0], [0.0], [5.0], [0.0]]), jnp.zeros(1)])
    kernel = kernel_of_layer(model)[:, 0]
    assert kernel[2] == 0
    assert np.linalg.norm(kernel) == pytest.approx(1, rel=1e-6)


def test_learning_rates_can_be_read_scheduled_and_set():
    x, y = regression()
    model = compiled(keras.optimizers.SGD(0.1))
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    history = model.fit(x, y, epochs=2, verbose=0, callbacks=[halve])
    assert float(model.optimizer.learning_rate) == pytest.approx(0.025)
    assert history.history["learning_rate"] == pytest.approx([0.05, 0.025])
    model.optimizer.learning_rate = 0.5
    assert float(model.optimizer.inner_optimizer.learning_rate) == 0.5
    assert int(model.optimizer.iterations) == 4


def test_weight_decay_can_be_kept_from_variables():
    model = linear(3, kernel_initializer="ones", bias_initializer="ones")
    optimizer = Penalized(keras.optimizers.AdamW(1.0, weight_decay=0.5), penalties.L1(0.0).on("**/kernel"))
    optimizer.exclude_from_weight_decay(var_names=["kernel"])
    optimizer.build(model.trainable_variables)
    optimizer.apply([jnp.zeros((3, 1)), jnp.zeros(1)])
    assert np.all(kernel_of_layer(model) == 1)
    assert np.all(np.asarray(model.layers[0].bias.value) == 0.5)


def arrangements():
    """Ways to put optimizers inside one another; where None stands, weights have no moving average."""

    def sgd(momentum=0.75):
        use = momentum is not None
        return keras.optimizers.SGD(0.05, use_ema=use, ema_momentum=momentum or 0.0)

    def penalized(inner):
        return Penalized(inner, penalties.L1(1e-6))

    def scaled(inner):
        return keras.optimizers.LossScaleOptimizer(inner, initial_scale=8.0)

    def multi(kernel, bias):
        if not hasattr(keras.optimizers, "MultiOptimizer"):
            pytest.skip("this Keras has no MultiOptimizer")
        return keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(bias, {".*/kernel": kernel}))

    return {
        "penalized": (0.75, 0.75, lambda: penalized(sgd())),
        "scaled around": (0.75, 0.75, lambda: scaled(penalized(sgd()))),
        "scaled inside": (0.75, 0.75, lambda: penalized(scaled(sgd()))),
        "scaled around and inside": (0.75, 0.75, lambda: scaled(penalized(scaled(sgd())))),
        "one of two": (0.75, None, lambda: multi(penalized(sgd()), sgd(None))),
        "the other of two": (None, 0.75, lambda: multi(penalized(sgd(None)), sgd())),
        "two": (0.75, 0.5, lambda: multi(penalized(sgd()), sgd(0.5))),
        "two inside": (0.75, 0.5, lambda: penalized(multi(sgd(), sgd(0.5)))),
        "two inside, scaled": (0.75, None, lambda: scaled(penalized(multi(sgd(), sgd(None))))),
        "scaled two inside": (0.75, 0.5, lambda: penalized(scaled(multi(sgd(), sgd(0.5))))),
    }


@pytest.mark.parametrize("name", arrangements())
def test_swapped_averages_are_those_of_every_optimizer_that_keeps_them(name):
    kernel_momentum, bias_momentum, make = arrangements()[name]
    x, y = regression()
    model = linear(FEATURES)
    model.compile(make(), "mse")
    momenta = [kernel_momentum, bias_momentum]
    averages = []

    class Average(keras.callbacks.Callback):
        """The moving averages, by hand; those of a zero start anew."""

        def on_train_batch_end(self, batch, logs=None):
            # Copied: the next step takes the buffers over.
            weights = [np.array(v.value) for v in self.model.trainable_variables]
            if not averages:
                averages[:] = weights
            for i, momentum in enumerate(momenta):
                kept = momentum or 0.0
                averages[i] = (kept * averages[i] + (1 - kept) * weights[i]) * (weights[i] != 0)

    callbacks = [Average(), keras.callbacks.SwapEMAWeights()]
    history = model.fit(
        x, y, batch_size=16, epochs=2, verbose=0, validation_data=(x, y), callbacks=callbacks
    ).history
    w, b = averages
    assert history["val_loss"][-1] == pytest.approx(np.mean((x @ w + b - y) ** 2), rel=1e-5)
    for variable, average in zip(model.trainable_variables, averages, strict=True):
        np.testing.assert_allclose(np.asarray(variable.value), average, rtol=1e-5, atol=1e-6)


def test_mixed_float16_evaluates_the_averages(request):
    request.addfinalizer(lambda: keras.config.set_dtype_policy("float32"))
    keras.config.set_dtype_policy("mixed_float16")
    x, y = regression()
    model = linear(FEATURES)
    inner = keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.9)
    model.compile(Penalized(inner, penalties.L1(0.3).on("**/kernel")), "mse")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    swap = keras.callbacks.SwapEMAWeights()
    history = model.fit(x, y, epochs=20, verbose=0, validation_data=(x, y), callbacks=[swap]).history
    w, b = (np.asarray(v.value) for v in model.trainable_variables)  # `fit` ends with the averages
    assert history["val_loss"][-1] == pytest.approx(np.mean((x @ w + b - y) ** 2), rel=1e-2)


def test_an_optimizer_of_a_multi_optimizer_that_matches_no_weight():
    x, y = regression()
    inner = multiple(
        keras.optimizers.Adam(0.05, use_ema=True), {"no such layer": keras.optimizers.SGD(0.1, use_ema=True)}
    )
    model = compiled(inner, linear(FEATURES), penalties.L1(0.3).on("**/kernel"))
    model.fit(x, y, epochs=20, verbose=0)
    assert np.any(kernel_of(model) == 0)


# Attributes that are the inner optimizer's, as in Keras's own wrapper.


def around(**options):
    inner = keras.optimizers.SGD(1.0, **options)
    return Penalized(inner, penalties.L1(0.0)), inner


@pytest.mark.parametrize(
    ("name", "value", "other"),
    [
        ("clipnorm", 0.5, 0.25),
        ("clipvalue", 0.5, 0.25),
        ("global_clipnorm", 0.5, 0.25),
        ("weight_decay", 0.5, 0.25),
        ("gradient_accumulation_steps", 2, 3),
    ],
)
def test_settings_are_read_from_and_set_in_the_inner_optimizer(name, value, other):
    optimizer, inner = around(**{name: value})
    assert getattr(optimizer, name) == value
    setattr(optimizer, name, other)
    assert getattr(inner, name) == getattr(optimizer, name) == other
    plain, _ = around()
    assert getattr(plain, name) is None


def test_averages_and_accumulated_gradients_are_there_once():
    optimizer, inner = around(
        use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=3, gradient_accumulation_steps=2
    )
    assert (optimizer.use_ema, optimizer.ema_momentum, optimizer.ema_overwrite_frequency) == (True, 0.5, 3)
    variables = linear(3, kernel_initializer="ones").trainable_variables
    optimizer.build(variables)
    assert optimizer._model_variables_moving_average is inner._model_variables_moving_average
    assert optimizer._accumulated_gradients is inner._accumulated_gradients
    grads = [jnp.full((3, 1), 0.25), jnp.zeros(1)]
    for calls, steps in ((1, 0), (2, 1), (3, 1)):
        assert optimizer.apply_gradients(zip(grads, variables, strict=True)) is not None
        assert (int(optimizer._iterations), int(optimizer.iterations)) == (calls, steps)
    assert np.all(np.asarray(variables[0].value) == 0.75)
    names = [v.name for v in optimizer.variables]
    assert sum("gradient_accumulator" in name for name in names) == 2
    assert len(names) == len(set(map(id, optimizer.variables)))


def test_clipping_and_decay_act_once():
    optimizer, _ = around(clipvalue=0.25, weight_decay=0.5)
    kernel, bias = linear(2, kernel_initializer="ones").trainable_variables
    optimizer.build([kernel, bias])
    optimizer.apply([jnp.full((2, 1), 9.0), jnp.zeros(1)])
    assert np.all(np.asarray(kernel.value) == 1 - 0.5 - 0.25)


def test_the_learning_rate_may_become_a_schedule():
    optimizer, _ = around()
    count = len(optimizer.variables)
    optimizer.learning_rate = keras.optimizers.schedules.ExponentialDecay(0.5, 1, 0.5)
    assert len(optimizer.variables) == count - 1
    assert float(optimizer.learning_rate) == 0.5


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop", "lion", "adafactor"])
def test_optimizers_are_pickled(name):
    optimizer = Penalized(name, penalties.L1(0.1).on("**/kernel"))
    assert pickle.loads(pickle.dumps(optimizer)).get_config() == optimizer.get_config()


def test_sparse_gradients_are_taken_as_dense_ones_are():
    table = np.random.default_rng(0).normal(size=(5, 2)).astype("float32")
    rows = sparse.BCOO((jnp.full((2, 2), 0.5), jnp.array([[1], [3]])), shape=(5, 2))
    for where in ("a", "*"):
        results = []
        for gradient in (rows, rows.todense()):
            variables = [keras.Variable(table, name=name) for name in ("a", "b")]
            optimizer = Penalized(
                keras.optimizers.SGD(0.25, loss_scale_factor=2.0), penalties.L1(0.5).on(where)
            )
            optimizer.build(variables)
            for _ in range(3):
                optimizer.apply([gradient, gradient])
            results.append([np.asarray(v.value) for v in variables])
        np.testing.assert_array_equal(*results)
        assert np.any(results[0][0] == 0)
