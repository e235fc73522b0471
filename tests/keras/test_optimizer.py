"""penalties.keras.Penalized: exact solutions with every optimizer, in every way of training."""

import inspect

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest
from sklearn.linear_model import ElasticNet, Lasso

import penalties
from penalties.keras import Penalized

from keras_case import (  # noqa: F401
    FEATURES,
    STEPS,
    compiled,
    decaying,
    ignore_numpy_copies,
    keras_rules,
    kernel_of,
    kernel_of_layer,
    linear,
    regression,
    share_of_zeros,
    train,
)

pytestmark = ignore_numpy_copies


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
@pytest.mark.parametrize(("noisy", "decay"), [(False, None), (True, None), (True, 0.9)])
def test_the_same_steps_as_on_the_optax_side(penalty, noisy, decay):
    x, y = regression(features=FEATURES)
    model = linear(FEATURES, use_bias=False)
    ours = Penalized(keras.optimizers.SGD(0.05, momentum=0.9), penalty, decay=decay)
    ours.build(model.trainable_variables)
    theirs = penalties.penalized(optax.sgd(0.05, momentum=0.9), penalty, decay=decay)
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


@pytest.mark.parametrize("optimizer", [O.SGD, O.Adam])
def test_zeros_come_to_rest_in_a_window_that_grows(optimizer):
    """In noise, a weight leaves zero and comes back for ever under a fixed window."""
    x, y = map(jnp.asarray, regression(256, features=40))
    y += jax.random.normal(jax.random.key(0), y.shape)
    steps, last = 10_000, 1000

    def flips(decay):
        model = linear(40, use_bias=False)
        rate = keras.optimizers.schedules.CosineDecay(0.02, steps)
        ours = Penalized(optimizer(rate), penalties.L1(0.2), decay=decay)
        ours.build(model.trainable_variables)

        def step(state, key):
            weights, own = state
            rows = jax.random.randint(key, (4,), 0, len(x))
            grads = jax.grad(lambda w: jnp.mean((x[rows] @ w[0] - y[rows]) ** 2))(weights)
            new, own = ours.stateless_apply(own, grads, weights)
            return (new, own), jnp.sum((new[0] == 0) != (weights[0] == 0))

        state = ([v.value for v in model.trainable_variables], [v.value for v in ours.variables])
        keys = jax.random.split(jax.random.key(1), steps)
        return int(jnp.sum(jax.jit(lambda state: jax.lax.scan(step, state, keys))(state)[1][-last:]))

    fixed, growing = flips(0.99), flips(None)
    assert fixed > 100
    assert growing < fixed / 4


# Ways to train.


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
