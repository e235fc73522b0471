"""penalties.keras.Penalized: exact solutions with every optimizer, in every way of training."""

import copy
import inspect

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest
from sklearn.linear_model import ElasticNet, Lasso

import penalties
from penalties.keras import Penalized, SparsityLogger, StrengthSchedule

from keras_case import ignore_numpy_copies, keras_rules, kernel_of, linear, regression  # noqa: F401

pytestmark = ignore_numpy_copies

STEPS = 2000
FEATURES = 12


def decaying(rate):
    return keras.optimizers.schedules.CosineDecay(rate, STEPS)


def wrapped(make):
    return lambda penalty: Penalized(make(), penalty)


def muon():
    newer = "adam_weight_decay" in inspect.signature(O.Muon).parameters
    return O.Muon(decaying(0.05), weight_decay=0.0, **({"adam_weight_decay": 0.0} if newer else {}))


O = keras.optimizers
OPTIMIZERS = {
    "sgd": wrapped(lambda: O.SGD(0.1)),
    "momentum": wrapped(lambda: O.SGD(0.02, momentum=0.9)),
    "nesterov": wrapped(lambda: O.SGD(0.02, momentum=0.9, nesterov=True)),
    "rmsprop": wrapped(lambda: O.RMSprop(decaying(0.02))),
    "adam": wrapped(lambda: O.Adam(decaying(0.05))),
    "amsgrad": wrapped(lambda: O.Adam(decaying(0.05), amsgrad=True)),
    "adamw": wrapped(lambda: O.AdamW(decaying(0.05), weight_decay=0.0)),
    "nadam": wrapped(lambda: O.Nadam(decaying(0.05))),
    "adamax": wrapped(lambda: O.Adamax(decaying(0.05))),
    "adagrad": wrapped(lambda: O.Adagrad(0.3)),
    "adadelta": wrapped(lambda: O.Adadelta(decaying(30.0))),
    "adafactor": wrapped(lambda: O.Adafactor(decaying(0.1))),
    "lamb": wrapped(lambda: O.Lamb(decaying(0.05))),
    "lion": wrapped(lambda: O.Lion(decaying(0.02))),
    "muon": wrapped(lambda: muon()),
    "ftrl": wrapped(lambda: O.Ftrl(0.5)),
    "clipped": wrapped(lambda: O.Adam(decaying(0.05), clipnorm=1.0)),
    "accumulating": wrapped(lambda: O.Adam(decaying(0.05), gradient_accumulation_steps=2)),
    "bfloat16 average": lambda penalty: Penalized(
        O.Adam(decaying(0.05)), penalty, accumulator_dtype="bfloat16"
    ),
    "averaging": wrapped(lambda: O.Adam(decaying(0.05), use_ema=True)),
    "scaled": wrapped(lambda: O.Adam(decaying(0.05), loss_scale_factor=8.0)),
    "loss scale inside": wrapped(lambda: O.LossScaleOptimizer(O.Adam(decaying(0.05)))),
    "loss scale around": lambda penalty: O.LossScaleOptimizer(Penalized(O.Adam(decaying(0.05)), penalty)),
}


def train(optimizer, model, x, y, steps):
    """Full gradients, in one compiled loop of `stateless_apply`."""
    optimizer.build(model.trainable_variables)
    x, y = jnp.asarray(x), jnp.asarray(y)

    def step(_, state):
        weights, opt = state

        def loss(weights):
            value = jnp.mean((x @ weights[0] - y) ** 2)
            with keras.StatelessScope(state_mapping=list(zip(optimizer.variables, opt, strict=True))):
                return optimizer.scale_loss(value)

        return optimizer.stateless_apply(opt, jax.grad(loss)(weights), weights)

    state = ([v.value for v in model.trainable_variables], [v.value for v in optimizer.variables])
    weights, opt = jax.jit(lambda state: jax.lax.fori_loop(0, steps, step, state))(state)
    for variable, value in zip(
        model.trainable_variables + optimizer.variables, [*weights, *opt], strict=True
    ):
        variable.assign(value)
    return kernel_of(model)[:, 0]


def lasso_and_elastic_net(x, y, l1=0.2, l2=0.1):
    """Keras's mse is twice scikit-learn's loss."""
    x, y = x.astype(np.float64), y[:, 0].astype(np.float64)
    options = {"fit_intercept": False, "tol": 1e-13, "max_iter": 100_000}
    lasso = Lasso(alpha=l1 / 2, **options).fit(x, y).coef_
    alpha = l1 / 2 + l2
    elastic = ElasticNet(alpha=alpha, l1_ratio=l1 / 2 / alpha, **options).fit(x, y).coef_
    return [(penalties.L1(l1), lasso), (penalties.ElasticNet(l1, l2), elastic)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_reaches_the_solution_of_scikit_learn_support_included(name):
    x, y = regression(features=FEATURES)
    for penalty, solution in lasso_and_elastic_net(x, y):
        model = linear(FEATURES, use_bias=False)
        optimizer = OPTIMIZERS[name](penalty.on("**/kernel"))
        w = train(optimizer, model, x, y, STEPS * (2 if name == "accumulating" else 1))
        assert np.array_equal(w != 0, solution != 0)
        np.testing.assert_allclose(w, solution, atol=2e-5)
        assert 0 < np.sum(solution == 0) < FEATURES


@pytest.mark.parametrize("penalty", [penalties.L1(0.2), penalties.ElasticNet(0.2, 0.1), penalties.L2(0.1)])
@pytest.mark.parametrize("noisy", [False, True])
def test_the_same_steps_as_on_the_optax_side(penalty, noisy):
    x, y = regression(features=FEATURES)
    model = linear(FEATURES, use_bias=False)
    ours = Penalized(keras.optimizers.SGD(0.05, momentum=0.9), penalty)
    ours.build(model.trainable_variables)
    theirs = penalties.penalized(optax.sgd(0.05, momentum=0.9), penalty)
    w = jnp.asarray(kernel_of(model))
    state = theirs.init(w)
    for step in range(40):
        rows = slice(8 * (step % 8), 8 * (step % 8) + 8) if noisy else slice(None)
        gradient = jax.grad(lambda w, rows=rows: jnp.mean((x[rows] @ w - y[rows]) ** 2))
        ours.apply([gradient(jnp.asarray(kernel_of(model)))])
        updates, state = theirs.update(gradient(w), state, w)
        w = optax.apply_updates(w, updates)
        np.testing.assert_allclose(kernel_of(model), w, rtol=1e-4, atol=1e-6)
        assert np.array_equal(kernel_of(model) == 0, w == 0)


# Ways to train.


def network(**options):
    return keras.Sequential(
        [
            keras.Input((FEATURES,)),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1),
        ],
        **options,
    )


def share_of_zeros(model):
    kernels = [np.asarray(v.value) for v in model.trainable_variables if v.name == "kernel"]
    return sum(np.sum(k == 0) for k in kernels) / sum(k.size for k in kernels)


def compiled(optimizer, model=None, penalty=None):
    model = model or network()
    penalty = penalty or penalties.L1(0.02).on(penalties.kernels)
    model.compile(Penalized(optimizer, penalty), "mse")
    return model


def test_fit_makes_zeros_in_kernels_only():
    x, y = regression(256)
    model = compiled(keras.optimizers.Adam(0.01))
    model.fit(x, y, batch_size=32, epochs=30, verbose=0)
    assert share_of_zeros(model) > 0.4
    assert not any(np.any(v.value == 0) for v in model.trainable_variables if v.name != "kernel")


def test_fit_loses_less_than_it_started_with_and_logs_the_data_loss_alone():
    x, y = regression(256)
    model = compiled(keras.optimizers.Adam(0.01))
    history = model.fit(x, y, epochs=5, verbose=0).history["loss"]
    assert history[-1] < history[0]
    logged = model.evaluate(x, y, verbose=0)
    assert logged == pytest.approx(float(np.mean((model.predict(x, verbose=0) - y) ** 2)), rel=1e-4)


def test_the_three_ways_to_train_agree():
    x, y = regression()
    weights = []
    for way in ("fit", "apply", "apply_gradients"):
        keras.utils.set_random_seed(3)
        model = linear(FEATURES)
        optimizer = Penalized(keras.optimizers.Adam(0.05), penalties.L1(0.2).on("**/kernel"))
        if way == "fit":
            model.compile(optimizer, "mse")
            model.fit(x, y, batch_size=len(x), epochs=20, verbose=0)
        else:
            variables = model.trainable_variables

            @jax.grad
            def gradient(w):
                return jnp.mean((x @ w[0] + w[1] - y) ** 2)

            for _ in range(20):
                grads = gradient([v.value for v in variables])
                if way == "apply":
                    optimizer.apply(grads, variables)
                else:
                    optimizer.apply_gradients(zip(grads, variables, strict=True))
        weights.append(kernel_of(model))
    np.testing.assert_allclose(weights[1], weights[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(weights[2], weights[1])


def test_unselected_weights_get_the_very_update_of_the_inner_optimizer():
    x, y = regression()
    biases = []
    for penalized in (False, True):
        keras.utils.set_random_seed(3)
        model = linear(FEATURES, kernel_initializer="zeros")
        inner = keras.optimizers.Adam(0.05)
        # So strong that the kernel stays zero: the bias sees the same gradients with a frozen kernel.
        optimizer = Penalized(inner, penalties.L1(1e3).on("**/kernel")) if penalized else inner
        model.layers[0].kernel.trainable = penalized
        model.compile(optimizer, "mse")
        model.fit(x, y, batch_size=16, epochs=3, verbose=0, shuffle=False)
        biases.append(np.asarray(model.layers[0].bias.value))
        assert np.all(kernel_of_layer(model) == 0)
    np.testing.assert_array_equal(biases[0], biases[1])


def kernel_of_layer(model):
    return np.asarray(model.layers[0].kernel.value)


def test_a_subset_of_the_variables_and_missing_gradients():
    model = linear(3, kernel_initializer="ones")
    kernel, bias = model.trainable_variables
    optimizer = Penalized(keras.optimizers.SGD(1.0), penalties.L1(0.25).on("**/kernel"))
    optimizer.build([kernel, bias])
    optimizer.apply([jnp.zeros((3, 1))], [kernel])
    assert np.all(np.asarray(kernel.value) == 0.75)
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        optimizer.apply([jnp.zeros((3, 1)), None])
    assert np.all(np.asarray(kernel.value) == 0.5)
    assert np.all(np.asarray(bias.value) == 0)
    optimizer.apply([jnp.zeros(1), jnp.zeros((3, 1))], [bias, kernel])  # in any order
    assert np.all(np.asarray(kernel.value) == 0.25)
    optimizer.apply([])


def test_groups_become_zero_together():
    x, y = regression(256)
    penalty = penalties.GroupLasso(0.05).on("**/dense*/kernel")
    model = compiled(keras.optimizers.Adam(0.01), penalty=penalty)
    model.fit(x, y, batch_size=64, epochs=60, verbose=0)
    kernel = kernel_of(model)
    dead = np.all(kernel == 0, axis=0)
    assert 0 < dead.sum() < 16
    assert np.all(kernel[:, ~dead] != 0)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    x, y = regression(256)
    model = keras.Sequential(
        [keras.Input((FEATURES,)), keras.layers.Dense(8, dtype=policy), keras.layers.Dense(1, dtype=policy)]
    )
    # Keras puts a LossScaleOptimizer around, by itself, for mixed_float16.
    model.compile(Penalized(keras.optimizers.Adam(0.01), penalties.L1(0.05).on("**/kernel")), "mse")
    model.fit(x, y, batch_size=32, epochs=20, verbose=0)
    assert 0.2 < share_of_zeros(model) < 1


@pytest.mark.parametrize("auto_scale_loss", [False, True])
def test_a_loss_scale_optimizer_inside_another(auto_scale_loss):
    """Keras puts one around for mixed_float16, which scales the loss and asks none within."""
    x, y = regression(256)
    inner = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.02))
    optimizer = Penalized(inner, penalties.L1(0.02).on("**/kernel"))
    model = linear(FEATURES, dtype="mixed_float16")
    model.compile(optimizer, "mse", auto_scale_loss=auto_scale_loss)
    model.fit(x, y, batch_size=64, epochs=100, verbose=0)
    np.testing.assert_allclose(kernel_of(model)[:4, 0], [2.0, -1.5, 1.0, 0.5], atol=0.1)
    assert np.any(kernel_of(model) == 0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_weights_keep_averages_in_float32(dtype):
    model = linear(3, kernel_initializer="ones", dtype=dtype)
    optimizer = Penalized(keras.optimizers.SGD(0.5), penalties.L1(0.5).on("**/kernel"))
    optimizer.build(model.trainable_variables)
    for _ in range(6):
        optimizer.apply([jnp.zeros((3, 1), dtype), jnp.zeros(1, dtype)])
    assert model.layers[0].kernel.value.dtype == dtype
    assert np.all(kernel_of_layer(model) == 0)
    assert [v.dtype for v in optimizer.variables if "average" in v.name] == ["float32"]


# What stays the inner optimizer's.


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


def multiple(*optimizers, **options):
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has no MultiOptimizer")
    return keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(*optimizers), **options)


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


# Files.


@pytest.mark.parametrize(
    "inner",
    [
        lambda: keras.optimizers.Adam(decaying(0.05), clipnorm=1.0),
        lambda: keras.optimizers.SGD(0.01, momentum=0.9, use_ema=True, gradient_accumulation_steps=2),
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.RMSprop(0.01)),
        lambda: keras.optimizers.Adam(0.01, loss_scale_factor=4.0),
    ],
)
def test_a_loaded_model_goes_on_as_if_it_had_never_been_saved(inner, tmp_path):
    x, y = regression()
    penalty = (penalties.L1(0.02) + penalties.L2(0.01)).on(penalties.kernels)
    keras.utils.set_random_seed(5)
    model = compiled(inner(), penalty=penalty)
    model.fit(x, y, batch_size=16, epochs=3, verbose=0, shuffle=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for one in (model, loaded):
        one.fit(x, y, batch_size=16, epochs=3, verbose=0, shuffle=False)
    for ours, theirs in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(ours.value), np.asarray(theirs.value))


@pytest.mark.filterwarnings(
    "ignore:Skipping variable loading for optimizer"
)  # of a frozen model: it has none
@pytest.mark.parametrize("change", ["nothing", "frozen", "copied"])
def test_a_model_loads_whatever_its_paths_are_then(change, tmp_path):
    """Keras leaves the name of a Sequential model out of the paths of a loaded one."""
    x, y = regression()
    model = keras.Sequential(
        [keras.Input((12,)), keras.layers.Dense(3, name="a"), keras.layers.Dense(1, name="b")]
    )
    path = f"{model.name}/a/kernel"
    model.compile(Penalized(keras.optimizers.Adam(0.05), penalties.L1(1e3).on(path)), "mse")
    model.fit(x, y, epochs=2, verbose=0)
    model.trainable = change != "frozen"
    model.save(tmp_path / "model.keras")
    loaded = copy.deepcopy(model) if change == "copied" else keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    if change != "frozen":
        loaded.fit(x, y, epochs=100, verbose=0)
        assert np.all(kernel_of(loaded) == 0)
        assert np.all(np.asarray(loaded.layers[1].bias.value) != 0)


def test_saved_paths_are_for_the_same_weights_only():
    model = linear(3)
    optimizer = Penalized("adam", penalties.L1(0.1).on(model.layers[0].kernel.path))
    optimizer.build(model.trainable_variables)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    other = keras.layers.BatchNormalization()
    other.build((None, 3))
    again.build(other.trainable_variables)
    with pytest.raises(ValueError, match="matches none of the 2 leaves"):
        again.apply([jnp.ones(3), jnp.ones(3)])


def test_the_config_of_an_optimizer_serves_another_model_by_its_own_paths():
    def two(*names):
        layers = [keras.layers.Dense(3, name=name) for name in names]
        return keras.Sequential([keras.Input((3,)), *layers], name="net")

    first, swapped, others = two("a", "b"), two("b", "a"), two("c", "d")
    optimizer = Penalized(keras.optimizers.SGD(0.1), penalties.L1(10.0).on("**/a/kernel"))
    optimizer.build(first.trainable_variables)
    again = Penalized.from_config(optimizer.get_config())
    again.build(swapped.trainable_variables)
    assert [again.penalty_of(v) is None for v in swapped.trainable_variables] == [True, True, False, True]
    again = Penalized.from_config(optimizer.get_config())
    again.build(others.trainable_variables)
    with pytest.raises(ValueError, match="matches none of the 4 leaves"):
        again.apply([jnp.zeros(v.shape) for v in others.trainable_variables])


def test_weights_of_the_optimizer_can_be_set():
    x, y = regression()
    trained, new = (compiled("adam") for _ in range(2))
    trained.fit(x, y, verbose=0)
    new.optimizer.build(new.trainable_variables)
    new.optimizer.set_weights([np.asarray(v.value) for v in trained.optimizer.variables])
    for ours, theirs in zip(new.optimizer.variables, trained.optimizer.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(ours.value), np.asarray(theirs.value))
    for optimizer in (new.optimizer, Penalized("sgd", penalties.L1(0.1))):
        with pytest.raises(ValueError, match="got 0 weights"):
            optimizer.set_weights([])


def test_a_model_saved_in_the_middle_of_a_schedule_has_its_strengths(tmp_path):
    x, y = regression()
    model = compiled("adam")
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "model.keras")
    model.fit(x, y, verbose=0, callbacks=[StrengthSchedule(lambda step: 0.25), checkpoint])
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert float(loaded.optimizer.strength_factor.value) == 1


def test_around_and_inside_survive_the_config():
    penalty = penalties.L1(0.1).on("**/kernel")
    penalized = Penalized("adam", penalty, decay=0.9, accumulator_dtype=jnp.bfloat16)
    optimizer = keras.optimizers.LossScaleOptimizer(penalized)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.inner_optimizer.penalty == penalty
    assert again.inner_optimizer.decay == 0.9
    assert again.inner_optimizer.accumulator_dtype == "bfloat16"
    assert isinstance(again.inner_optimizer.inner_optimizer, keras.optimizers.Adam)


# What is refused.


def test_wrong_arguments():
    adam, penalty = keras.optimizers.Adam(0.1), penalties.L1(0.1)
    with pytest.raises(TypeError, match=r"expected a Keras optimizer"):
        Penalized(keras.layers.Dense(1), penalty)
    with pytest.raises(TypeError, match=r"penalties\.penalized"):
        Penalized(optax.adam(0.1), penalty)
    with pytest.raises(TypeError, match=r"Penalized\(optimizer, p \+ q\)"):
        Penalized(Penalized(adam, penalty), penalty)
    with pytest.raises(TypeError, match=r"0\.1 of type float: expected a Penalty"):
        Penalized(adam, 0.1)
    for decay in (1.0, 1 - 1e-9, -0.1, float("nan")):
        with pytest.raises(ValueError, match=r"decay is .*: expected a number in \[0, 1\)"):
            Penalized(adam, penalty, decay=decay)
    for decay in ("0.9", True, None):
        with pytest.raises(TypeError, match=r"decay is .*: expected a number"):
            Penalized(adam, penalty, decay=decay)
    with pytest.raises(TypeError, match=r"accumulator_dtype is 'int32': expected a floating dtype"):
        Penalized(adam, penalty, accumulator_dtype="int32")


def test_a_pattern_that_matches_nothing_is_an_error_when_training_starts():
    model = linear(3)
    model.compile(Penalized("adam", penalties.L1(0.1).on("**/kernels")), "mse")
    with pytest.raises(ValueError, match=r"'linear/dense\w*/kernel'"):
        model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)


def test_a_typo_leaves_the_model_as_it_was():
    model = linear(3)
    before = kernel_of(model)
    for wrong in (penalties.L1(0.1).on("**/kernell"), penalties.L1(np.ones(7)).on("**/kernel")):
        model.compile(Penalized("adam", wrong), "mse")
        with pytest.raises(ValueError, match=r"matches none|does not broadcast"):
            model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
        np.testing.assert_array_equal(kernel_of(model), before)


def test_apply_says_what_is_missing():
    model = linear(3)
    optimizer = Penalized("adam", penalties.L1(0.1))
    with pytest.raises(ValueError, match=r"optimizer.build"):
        optimizer.apply([jnp.zeros((3, 1))])
    optimizer.build(model.trainable_variables)
    with pytest.raises(ValueError, match="got 1 gradients for 2 variables"):
        optimizer.apply([jnp.zeros((3, 1))])
    with pytest.raises(ValueError, match="Unknown variable"):
        optimizer.apply([jnp.zeros(3)], [keras.Variable(np.zeros(3))])


def test_a_function_as_selection_trains_but_cannot_be_saved(tmp_path):
    model = compiled("adam", penalty=penalties.L1(0.1).on(lambda path, leaf: leaf.ndim == 2))
    model.fit(np.ones((4, FEATURES)), np.ones((4, 1)), verbose=0)
    with pytest.raises(TypeError, match="cannot be written to a config"):
        model.optimizer.get_config()
