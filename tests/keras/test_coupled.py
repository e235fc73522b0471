"""Penalized with groups that span the weights of several layers."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest

import penalties
from penalties import L1, L2, Coupled
from penalties.keras import Penalized, SparsityLogger

from keras_case import ignore_numpy_copies

pytestmark = ignore_numpy_copies

X = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
Y = X[:, :1]


def network():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    hidden = [layers.Dense(8, name="first"), layers.BatchNormalization(name="norm"), layers.ReLU()]
    return keras.Sequential([keras.Input((4,)), *hidden, layers.Dense(1, name="last")], name="net")


@pytest.fixture(scope="module")
def rules():
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="module")
def trained(rules):
    model = network()
    penalty = Coupled(L1(0.01), penalties.couplings(model, X)) + L2(0.01).on("**/last/kernel")
    model.compile(Penalized(keras.optimizers.Adam(0.02), penalty), "mse")
    history = model.fit(X, Y, batch_size=64, epochs=150, verbose=0, callbacks=[SparsityLogger()])
    return model, penalty, history.history


@pytest.mark.slow
def test_units_die_with_all_their_weights(trained):
    model, _, _ = trained
    kernel, bias = (np.asarray(w) for w in model.get_layer("first").weights)
    scale, shift = (np.asarray(w) for w in model.get_layer("norm").trainable_variables)
    dead = np.all(kernel == 0, 0)
    assert dead.sum() > 0
    for each in (bias, scale, shift):
        np.testing.assert_array_equal(each == 0, dead)
    small = penalties.shrink(model, X[:2])
    (kept,) = small.kept.values()
    np.testing.assert_array_equal(kept, np.flatnonzero(~dead))


def test_the_log_has_the_value_and_the_zeros(trained):
    model, penalty, history = trained
    np.testing.assert_allclose(history["penalty"][-1], penalty(model), rtol=1e-5)
    assert 0 < history["zeros"][-1] < 1


def test_the_same_numbers_as_optax(trained):
    """One step of gradient descent, from a point where there are dead units."""
    model, penalty, _ = trained
    variables = model.trainable_variables
    start = {v.path: v.value for v in variables}
    grads = jax.tree.map(lambda w: jnp.full_like(w, 0.05), start)
    ours = Penalized(keras.optimizers.SGD(0.5), 3 * penalty)
    ours.build(variables)
    ours.apply([grads[v.path] for v in variables], variables)
    moved = {v.path: v.value for v in variables}
    for variable in variables:
        variable.assign(start[variable.path])
    optimizer = penalties.penalized(optax.sgd(0.5), 3 * penalty)
    updates, _ = optimizer.update(grads, optimizer.init(start), start)
    expected = optax.apply_updates(start, updates)
    for path, value in moved.items():
        np.testing.assert_allclose(value, expected[path], rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_saved_and_loaded(trained, tmp_path):
    model, penalty, _ = trained
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.optimizer.penalty == penalty
    again.fit(X, Y, verbose=0)


def test_variables_that_lack_others_of_their_group(trained):
    model, penalty, _ = trained
    variables = model.trainable_variables
    optimizer = Penalized(keras.optimizers.SGD(0.5), penalty)
    optimizer.build(variables)
    with pytest.raises(ValueError, match=r"no gradients for .*norm/gamma"):
        optimizer.apply([v.value if "norm" not in v.path else None for v in variables], variables)
