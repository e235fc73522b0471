"""adaptive: the adaptive lasso of scikit-learn, zeros that stay, and what it cannot do."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from sklearn import linear_model

from penalties import (
    L0,
    L1,
    L2,
    MCP,
    SCAD,
    Box,
    ElasticNet,
    GroupLasso,
    Huber,
    LHalf,
    LogSum,
    LTwoThirds,
    NonNegative,
    Nuclear,
    Sparse,
    adaptive,
    from_config,
    penalized,
    proximal,
    solve,
)

BEFORE = {"a": jnp.array([2.0, -0.5, 0.0]), "b": {"c": jnp.array([[4.0, 0.0]])}}
PENALTIES = [L1(0.5), SCAD(0.5, a=4), L0(0.5)]
SLOW = [MCP(0.5), LogSum(0.5, epsilon=1), LHalf(0.5), LTwoThirds(0.5)]


@pytest.mark.parametrize(
    "penalty", [*PENALTIES, *(pytest.param(p, marks=pytest.mark.slow) for p in SLOW)], ids=repr
)
def test_each_weight_has_the_strength_over_its_size(penalty):
    new = adaptive(penalty, BEFORE, power=2)
    assert type(new) is type(penalty)
    np.testing.assert_allclose(new.strength["a"][:2], [0.5 / 4, 0.5 / 0.25], rtol=1e-6)
    np.testing.assert_allclose(new.strength["b/c"][0, 0], 0.5 / 16, rtol=1e-6)
    assert {name: getattr(new, name) for name in ("gamma", "a", "epsilon") if hasattr(new, name)} == {
        name: getattr(penalty, name) for name in ("gamma", "a", "epsilon") if hasattr(penalty, name)
    }
    weights = jax.tree.map(lambda w: w + 0.25, BEFORE)
    moved = new.prox(weights)
    np.testing.assert_array_equal(moved["a"][2], 0)
    np.testing.assert_array_equal(moved["b"]["c"][0, 1], 0)
    one = type(penalty)(
        0.5 / 4,
        **{name: getattr(penalty, name) for name in ("gamma", "a", "epsilon") if hasattr(penalty, name)},
    )
    np.testing.assert_allclose(moved["a"][:1], one.prox(weights["a"][:1]), rtol=1e-6)
    assert np.isfinite(new(BEFORE))
    assert np.isfinite((2 * new)(weights))
    assert all(np.all(np.isfinite(g)) for g in jax.tree.leaves(jax.grad(new)(weights)))
    assert from_config(new.to_config())(weights) == new(weights)


def lasso_problem():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 20))
    truth = np.where(np.arange(20) < 5, [3, -2, 1.5, 1, -1] * 4, 0)
    y = x @ truth + 0.5 * rng.normal(size=80)
    return x, y, linear_model.LinearRegression(fit_intercept=False).fit(x, y).coef_


def test_it_is_the_adaptive_lasso_of_rescaled_features(x64):
    x, y, before = lasso_problem()
    before = np.where(np.arange(20) % 7 == 6, 0, before)  # some were zero before
    oracle = linear_model.Lasso(alpha=0.05, fit_intercept=False, tol=1e-14, max_iter=1_000_000)
    weights = oracle.fit(x * np.abs(before), y).coef_ * np.abs(before)
    penalty = adaptive(L1(0.1), before)

    def loss(w):
        return jnp.mean((x @ w - y) ** 2)

    solution = solve(loss, penalty, jnp.zeros(20), tol=1e-12).params
    np.testing.assert_allclose(solution, weights, atol=1e-8)
    np.testing.assert_array_equal(np.asarray(solution) == 0, weights == 0)

    for tx in (
        penalized(optax.sgd(0.05), penalty),
        penalized(optax.adam(optax.cosine_decay_schedule(0.05, 3000)), penalty),
        optax.chain(optax.sgd(0.05), proximal(penalty, 0.05)),
    ):

        def step(carry, _, tx=tx):
            w, state = carry
            updates, state = tx.update(jax.grad(loss)(w), state, w)
            return (optax.apply_updates(w, updates), state), None

        start = jnp.ones(20)  # zeros of before become zero at once, and stay it
        with jax.numpy_dtype_promotion("standard"):
            w, _ = jax.jit(lambda w, s, step=step: jax.lax.scan(step, (w, s), length=3000)[0])(
                start, tx.init(start)
            )
        np.testing.assert_allclose(w, weights, atol=1e-5)
        np.testing.assert_array_equal(np.asarray(w) == 0, weights == 0)


def test_sums_and_selections_keep_what_has_no_kink():
    new = adaptive(ElasticNet(0.5, 0.1).on("a") + L2(0.2) + NonNegative().on("b/**"), BEFORE)
    weights = {"a": jnp.array([1.0, 1.0, 0.0]), "b": {"c": jnp.array([[1.0, 2.0]])}}
    np.testing.assert_allclose(new(weights), 0.5 / 2 + 0.5 / 0.5 + 0.1 * 2 + 0.2 * 7, rtol=1e-6)
    assert "b/c" not in str(jax.tree.leaves_with_path(new))
    assert new.terms[2:] == (L2(0.2), NonNegative().on("b/**"))
    with pytest.raises(ValueError, match="'d'"):
        adaptive(L1(0.5).on("d"), BEFORE)


def test_strengths_of_trees_and_traced_numbers_and_modules():
    by_leaf = adaptive(L1({"a": 0.5, "b": 1.0}), BEFORE)
    np.testing.assert_allclose(by_leaf.strength["a"][0], 0.25)
    np.testing.assert_allclose(by_leaf.strength["b/c"][0, 0], 0.25)
    value = jax.jit(lambda s, w: adaptive(L1(s), w)(w))(0.5, BEFORE)
    np.testing.assert_allclose(value, 3 * 0.5)
    model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    penalty = adaptive(L1(0.5).on("kernel"), model)
    np.testing.assert_allclose(penalty(model), 2 * 0.5, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "complex64"])
def test_zeros_stay_zero_in_every_dtype(dtype, x64):
    before = jnp.array([0.0, 1e-6, 2.0]).astype(dtype)
    penalty = adaptive(L1(1e-3), before, power=3.0)
    moved = penalty.prox(jnp.array([100.0, 100.0, 100.0]).astype(dtype), 1e-3)
    assert moved.dtype == dtype
    assert moved[0] == 0
    assert moved[2] != 0
    assert all(np.all(np.isfinite(s)) for s in jax.tree.leaves(penalty))


@pytest.mark.parametrize("penalty", [GroupLasso(1.0), Nuclear(1.0), L1(1.0).around(0.0)], ids=repr)
def test_other_than_single_weights_is_refused(penalty):
    with pytest.raises(TypeError, match=r"not of single weights.*one strength per group"):
        adaptive(penalty + L1(1.0), BEFORE)


@pytest.mark.parametrize(
    "penalty", [L2(1.0), Huber(1.0), L2(1.0) + Huber(1.0), Box(0.0, 1.0), Sparse(2)], ids=repr
)
def test_without_a_kink_there_is_nothing_to_adapt(penalty):
    with pytest.raises(TypeError, match="no kink at zero"):
        adaptive(penalty, BEFORE)


def test_bad_input_is_refused():
    for power in (0.0, -1.0, np.inf):
        with pytest.raises(ValueError, match="power is"):
            adaptive(L1(1.0), BEFORE, power=power)
    with pytest.raises(
        ValueError, match=r"L1\.strength\['a'\] has entries that are negative, NaN or infinite"
    ):
        adaptive(L1(1.0), {"a": jnp.array([1.0, jnp.nan])})
    with pytest.raises(TypeError, match=r"the penalty of `adaptive` is 0\.5"):
        adaptive(0.5, BEFORE)
    with pytest.raises(ValueError, match="'a'"):
        adaptive(L1(1.0), BEFORE)({"a": jnp.ones(4), "b": {"c": jnp.ones((1, 2))}})
