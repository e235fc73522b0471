"""L1, L2 and ElasticNet against closed forms in NumPy, keras.regularizers and scikit-learn."""

import functools
import operator

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import ElasticNet as SklearnElasticNet
from sklearn.linear_model import Lasso

from penalties import L1, L2, ElasticNet, NonNegative, NonNegativeL1, from_config, penalized, proximal
from penalties._numerics import sum_scalars

WEIGHTS = np.random.default_rng(0).normal(size=(5, 4))


# Values


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (L1(0.1), keras.regularizers.L1(0.1)),
        (L2(0.1), keras.regularizers.L2(0.1)),
        (ElasticNet(0.1, 0.02), keras.regularizers.L1L2(0.1, 0.02)),
    ],
    ids=["L1", "L2", "L1L2"],
)
def test_values_are_those_of_keras(ours, theirs):
    w = jnp.asarray(WEIGHTS, jnp.float32)
    np.testing.assert_allclose(ours(w), theirs(w), rtol=1e-6)
    np.testing.assert_allclose(jax.grad(ours)(w), jax.grad(theirs)(w), rtol=1e-6)


@pytest.mark.usefixtures("x64")
@given(w=st.lists(st.floats(-1e100, 1e100), min_size=4, max_size=4), strength=st.floats(0, 1e6))
def test_values_are_the_formulas_for_any_float64(w, strength):
    array = np.asarray(w)
    np.testing.assert_allclose(L1(strength)(array), (strength * np.abs(array)).sum(), rtol=1e-12)
    np.testing.assert_allclose(L2(strength)(array), ((strength * array) * array).sum(), rtol=1e-12)


# Proxes: with a design of orthonormal columns, the solution is the prox of X'y.


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("strength", [0.1, 0.5, 2.0])
def test_prox_of_l1_is_the_lasso_of_scikit_learn(strength):
    v = WEIGHTS.ravel()
    # scikit-learn minimizes ‖y − Xw‖²/(2n) + alpha·‖w‖₁, here with n = 20 and X the identity.
    model = Lasso(alpha=strength / v.size, fit_intercept=False, tol=1e-14).fit(np.eye(v.size), v)
    z = L1(strength).prox(v)
    np.testing.assert_allclose(z, model.coef_, atol=1e-12)
    np.testing.assert_array_equal(z == 0, model.coef_ == 0)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("ratio", [0.2, 0.9])
def test_prox_of_elastic_net_is_that_of_scikit_learn(ratio):
    v, alpha = WEIGHTS.ravel(), 0.02
    model = SklearnElasticNet(alpha=alpha, l1_ratio=ratio, fit_intercept=False, tol=1e-14)
    model.fit(np.eye(v.size), v)
    # Theirs is alpha·ratio·‖w‖₁ + alpha·(1 − ratio)/2·‖w‖², times n.
    ours = ElasticNet(v.size * alpha * ratio, v.size * alpha * (1 - ratio) / 2)
    np.testing.assert_allclose(ours.prox(v), model.coef_, atol=1e-12)


@pytest.mark.usefixtures("x64")
@given(
    v=st.lists(st.floats(-100, 100), min_size=4, max_size=4),
    strength=st.floats(0, 10),
    step=st.floats(0, 10),
)
def test_proxes_are_the_formulas_for_any_float64(v, strength, step):
    v = np.asarray(v)
    soft = np.sign(v) * np.maximum(np.abs(v) - step * strength, 0)
    np.testing.assert_allclose(L1(strength).prox(v, step), soft, atol=1e-13)
    np.testing.assert_allclose(L2(strength).prox(v, step), v / (1 + 2 * step * strength), rtol=1e-14)
    both = ElasticNet(strength, 2.0).prox(v, step)
    np.testing.assert_allclose(both, soft / (1 + 4 * step), atol=1e-13)


def test_non_negative_l1_is_the_lasso_of_positive_weights(x64):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 10))
    y = x @ np.where(np.arange(10) < 4, [2.0, -2.0] * 5, 0) + 0.3 * rng.normal(size=60)
    oracle = Lasso(alpha=0.1, positive=True, fit_intercept=False, tol=1e-14, max_iter=100_000).fit(x, y).coef_
    penalty = NonNegativeL1(0.2)
    assert from_config(penalty.to_config()) == penalty == NonNegative() + L1(0.2)
    for tx in (  # the two ways that its docstring names
        optax.chain(optax.sgd(0.05), proximal(penalty, 0.05)),
        optax.chain(penalized(optax.sgd(0.05, 0.9), L1(0.2)), proximal(NonNegative())),
    ):

        def step(carry, _, tx=tx):
            w, state = carry
            updates, state = tx.update(jax.grad(lambda w: jnp.mean((x @ w - y) ** 2))(w), state, w)
            return (optax.apply_updates(w, updates), state), None

        w = jnp.ones(10)
        w, _ = jax.jit(lambda w, s, step=step: jax.lax.scan(step, (w, s), length=2000)[0])(w, tx.init(w))
        np.testing.assert_allclose(w, oracle, atol=1e-6)
        np.testing.assert_array_equal(np.asarray(w) == 0, oracle == 0)
    assert penalty(w) == pytest.approx(0.2 * oracle.sum(), rel=1e-5)
    assert penalty(-w) == np.inf


# Zero


def test_a_zero_bias_is_not_moved():
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.zeros(2)}
    np.testing.assert_array_equal(jax.grad(L1(0.1))(params)["bias"], 0)
    np.testing.assert_array_equal(jax.grad(ElasticNet(0.1, 0.1))(params)["bias"], 0)
    negative_zero = {"kernel": jnp.ones((2, 2)), "bias": -jnp.zeros(2)}
    np.testing.assert_array_equal(jax.grad(L1(0.1))(negative_zero)["bias"], 0)


def test_gradient_at_nan_is_nan():
    gradient = jax.grad(L1(0.1))(jnp.asarray([np.nan, 1.0]))
    np.testing.assert_array_equal(gradient, np.float32([np.nan, 0.1]))


def test_strength_zero_of_huge_weights_is_zero():
    huge = jnp.full(3, 1e30)
    for penalty in (L1(0.0), L2(0.0), ElasticNet(0.0, 0.0)):
        assert penalty(huge) == 0
        np.testing.assert_array_equal(jax.grad(penalty)(huge), 0)
        np.testing.assert_array_equal(penalty.prox(huge), huge)


# Numbers


def test_float16_squares_do_not_overflow():
    w = jnp.full(1000, 10.0, jnp.float16)
    assert L2(1.0)(w) == 1e5
    assert L2(1.0)(jnp.full(2, 60000.0, jnp.float16)) == 7.2e9


def test_a_tiny_strength_counts_on_float16():
    w = jnp.ones(10, jnp.float16)
    np.testing.assert_allclose(L2(1e-8)(w), 1e-7, rtol=1e-6)
    np.testing.assert_allclose(L1(1e-8)(w), 1e-7, rtol=1e-6)


def test_many_bfloat16_leaves_are_summed_in_float32():
    params = [jnp.full(10, 0.1, jnp.bfloat16)] * 300
    exact = 3000 * float(jnp.bfloat16(0.1))
    np.testing.assert_allclose(L1(1.0)(params), exact, rtol=1e-6)


def test_two_thousand_scalars_are_summed_accurately():
    # The sum over leaves alone: tracing a tree of 2,000 leaves would take the time of all other tests.
    rng = np.random.default_rng(0)
    scalars = list(rng.random(2000).astype(np.float32))
    exact = np.sum(np.asarray(scalars, np.float64))
    found = jax.jit(sum_scalars)([jnp.asarray(x) for x in scalars])
    np.testing.assert_allclose(found, exact, rtol=1e-6)
    in_a_chain = functools.reduce(operator.add, scalars)
    assert abs(float(found) - exact) < abs(float(in_a_chain) - exact)


def test_two_hundred_leaves_are_summed_accurately():
    rng = np.random.default_rng(0)
    params = [rng.normal(size=3).astype(np.float32) for _ in range(200)]
    exact = sum(float(np.abs(w.astype(np.float64)).sum()) for w in params)
    np.testing.assert_allclose(L1(1.0)(params), exact, rtol=1e-6)


@pytest.mark.usefixtures("x64")
def test_more_than_one_dtype_in_a_tree():
    params = {
        "a": jnp.full(2, 0.5, jnp.float16),
        "b": jnp.full(2, 0.5, jnp.bfloat16),
        "c": jnp.full(2, 0.5, jnp.float32),
        "d": jnp.full(2, 0.5, jnp.float64),
        "e": jnp.full(2, 0.5, jnp.complex64),
    }
    value, gradient = jax.value_and_grad(L1(0.1))(params)
    assert value.dtype == jnp.float64
    np.testing.assert_allclose(value, 0.5, rtol=1e-7)
    z = L1(0.1).prox(params)
    for name, w in params.items():
        assert z[name].dtype == gradient[name].dtype == w.dtype
        np.testing.assert_allclose(np.asarray(z[name], np.complex128), 0.4, rtol=4e-3)
    narrow = {name: params[name] for name in "abce"}
    assert L1(0.1)(narrow).dtype == jnp.float32


def test_complex_weights_count_by_their_modulus():
    w = jnp.asarray([3 + 4j, 0, -5j])
    assert L1(1.0)(w) == 10
    assert L2(1.0)(w) == 50
    assert L1(1.0)(w).dtype == jnp.float32
    np.testing.assert_allclose(L1(1.0).prox(w), np.asarray(w) * [4 / 5, 0, 4 / 5], rtol=1e-6)
    np.testing.assert_allclose(L2(1.0).prox(w), np.asarray(w) / 3, rtol=1e-6)
    np.testing.assert_array_equal(L1(1.0).prox(w, 10.0), 0)
    # JAX's gradient of a real function is the conjugate of the direction of steepest ascent.
    np.testing.assert_allclose(jax.grad(L1(1.0))(w), np.conj([0.6 + 0.8j, 0, -1j]), rtol=1e-6)
    np.testing.assert_allclose(jax.grad(L2(1.0))(w), np.conj(2 * np.asarray(w)), rtol=1e-6)


def test_complex_weights_have_subgradients_and_settle():
    w, grads = jnp.asarray([3 + 4j, 0, 0]), jnp.asarray([1j, 3 + 4j, 0.3j])
    expected = [1j + 0.6 + 0.8j, (3 + 4j) * 4 / 5, 0]
    np.testing.assert_allclose(L1(1.0).subgradient(w, grads), expected, rtol=1e-6)
    ridge = np.asarray(grads) + 2 * np.asarray(w)
    np.testing.assert_allclose(L2(1.0).subgradient(w, grads), ridge, rtol=1e-6)
    moved = jnp.asarray([-3 + 1j, -3 - 4j, 1j])
    settled = L1(1.0).settle(w, moved, L1(1.0).subgradient(w, grads))
    np.testing.assert_array_equal(settled, np.complex64([0, -3 - 4j, 0]))


@pytest.mark.usefixtures("x64")
def test_complex128_leaves_give_float64():
    assert L1(1.0)(jnp.asarray([3 + 4j], jnp.complex128)).dtype == jnp.float64


@pytest.mark.parametrize("params", [{}, [], None, {"a": None, "b": [None, ()]}], ids=repr)
def test_a_tree_without_leaves_has_value_zero(params):
    for penalty in (L1(0.1), L2(0.1), ElasticNet(0.1, 0.1), L1(0.1) + L2(0.1)):
        value, gradient = jax.value_and_grad(penalty)(params)
        assert (value.dtype, value.shape, float(value)) == (jnp.float32, (), 0.0)
        assert jax.tree.structure(gradient) == jax.tree.structure(params)
        assert penalty.prox(params) == params


def test_a_leaf_without_weights_has_value_zero():
    w = jnp.zeros((0, 3))
    assert L1(1.0)(w) == 0
    assert L1(1.0).prox(w).shape == (0, 3)


# Settling, weight by weight


def test_a_weight_that_changes_sign_becomes_zero():
    w = jnp.asarray([1.0, -1.0, 1.0, -1.0, 1.0])
    moved = jnp.asarray([-0.1, 0.1, 0.5, -2.0, 0.0])
    settled = L1(0.1).settle(w, moved, jnp.zeros(5))
    np.testing.assert_array_equal(settled, np.float32([0, 0, 0.5, -2.0, 0]))
    np.testing.assert_array_equal(L2(0.1).settle(w, moved, jnp.zeros(5)), moved)


def test_a_zero_weight_leaves_zero_against_its_direction_only():
    zero = jnp.zeros(4)
    direction = jnp.asarray([1.0, 1.0, -1.0, 0.0])
    moved = jnp.asarray([-0.5, 0.5, 0.5, 0.5])
    settled = L1(0.1).settle(zero, moved, direction)
    np.testing.assert_array_equal(settled, np.float32([-0.5, 0, 0.5, 0]))


def test_subgradient_of_a_zero_weight_is_soft_thresholded():
    w = jnp.zeros(4)
    grads = jnp.asarray([2.0, -2.0, 0.5, -1.0])
    np.testing.assert_array_equal(L1(1.0).subgradient(w, grads), np.float32([1, -1, 0, 0]))
    np.testing.assert_array_equal(ElasticNet(1.0, 5.0).subgradient(w, grads), np.float32([1, -1, 0, 0]))
    np.testing.assert_array_equal(L2(1.0).subgradient(w, grads), grads)


def test_subgradient_is_the_best_of_all_subgradients_by_brute_force():
    all_subgradients = np.linspace(-1, 1, 20001)
    for g in (-3.0, -1.0, -0.3, 0.0, 0.7, 1.5):
        best = (g + all_subgradients)[np.argmin(np.abs(g + all_subgradients))]
        assert abs(float(L1(1.0).subgradient(jnp.zeros(()), jnp.asarray(g))) - best) < 1e-4


def test_subgradient_passes_over_missing_gradients():
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    direction = L1(0.5).subgradient(params, {"a": jnp.ones(2), "b": None})
    np.testing.assert_array_equal(direction["a"], 1.5)
    assert direction["b"] is None


def test_gradients_of_another_structure_are_refused():
    with pytest.raises(ValueError, match="grads has a leaf 'c' that params has not"):
        L1(0.5).subgradient({"a": jnp.ones(2)}, {"c": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"'a' has shape \(2,\) in params and \(3,\) in grads"):
        L1(0.5).subgradient({"a": jnp.ones(2)}, {"a": jnp.ones(3)})


@pytest.mark.parametrize(
    ("penalty", "size"), [(L1(1e-10), 1e35), (L2(1e-10), 1e17), (ElasticNet(1e-10, 0.0), 1e35)]
)
def test_a_sum_that_overflows_before_it_is_scaled_is_infinite_and_its_gradient_is_not(penalty, size):
    small, large = jnp.full(60_000, size), jnp.full(70_000, size)
    assert jnp.isfinite(penalty(small))
    value, gradient = jax.value_and_grad(penalty)(large)
    assert value == jnp.inf
    np.testing.assert_allclose(gradient[0], jax.grad(penalty)(small)[0], rtol=1e-6)
