"""strength_max and strength_grid: where a path begins, and how it goes down."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import linear_model
from sklearn.linear_model import lars_path

from penalties import (
    L1,
    L2,
    MCP,
    ElasticNet,
    Grouped,
    GroupLasso,
    Huber,
    LogSum,
    Penalty,
    strength_grid,
    strength_max,
)

from cases import CASES, flat, random_params

GRADS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
NORMS = np.linalg.norm(GRADS, axis=0)

CLOSED_FORMS = {
    "L1": (L1(0.7), np.abs(GRADS).max() / 0.7),
    "L1, weighted": (L1(np.array([0.5, 1.0, 2.0], np.float32)), (np.abs(GRADS) / [0.5, 1, 2]).max()),
    "ElasticNet": (ElasticNet(0.5, 3.0), np.abs(GRADS).max() / 0.5),
    "GroupLasso": (GroupLasso(0.5), NORMS.max() / np.sqrt(4) / 0.5),
    "GroupLasso of all": (GroupLasso(0.5, axis=()), np.linalg.norm(GRADS) / np.sqrt(12) / 0.5),
    "MCP": (MCP(2.0), np.abs(GRADS).max() / 2),
    "LogSum": (LogSum(2.0, epsilon=0.1), np.abs(GRADS).max() * 0.1 / 2),
    "Grouped(MCP)": (Grouped(MCP(2.0)), NORMS.max() / np.sqrt(4) / 2),
    "L1+L2": (L1(1.0) + L2(5.0), np.abs(GRADS).max()),
    "L1+L1": (L1(1.0) + L1(2.0), np.abs(GRADS).max() / 3),
}


@pytest.mark.parametrize(("penalty", "expected"), CLOSED_FORMS.values(), ids=CLOSED_FORMS)
def test_it_is_the_dual_norm(penalty, expected):
    np.testing.assert_allclose(strength_max(penalty, jnp.asarray(GRADS)), expected, rtol=1e-6)


SELECTED = ["GroupLasso+ElasticNet", "each_its_own_leaves", "strength_for_each_leaf"]


@pytest.mark.parametrize("case", [case for case in CASES if case.name in SELECTED], ids=str)
def test_a_little_less_would_not_hold_all_at_zero(case):
    penalty, grads = case.make(0.3), random_params(1)
    maximum = strength_max(penalty, grads)
    zero = jax.tree.map(jnp.zeros_like, grads)

    def moves(factor):
        found = flat((factor * penalty).subgradient(zero, grads))
        return any(found[path].any() for path in found if case.selects(path) and case.has_kink(path))

    assert 0 < float(maximum) < np.inf
    assert not moves(1.000001 * maximum)
    assert moves(0.999999 * maximum)


def test_the_sparse_group_lasso_by_brute_force():
    """max over groups of the root of ‖soft(g, f)‖ = √|g|·f, by bisection in float64."""
    low, high = 0.0, 10.0
    for _ in range(200):
        f = (low + high) / 2
        soft = np.sign(GRADS) * np.maximum(np.abs(GRADS.astype(np.float64)) - f, 0)
        low, high = (f, high) if (np.linalg.norm(soft, axis=0) > np.sqrt(4) * f).any() else (low, f)
    found = strength_max(L1(1.0) + GroupLasso(1.0), jnp.asarray(GRADS))
    np.testing.assert_allclose(found, high, rtol=1e-6)


def test_it_is_the_alpha_at_which_lars_begins(x64):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(20, 5)), rng.normal(size=20)
    grads = jax.grad(lambda w: jnp.sum((x @ w - y) ** 2) / 40)(jnp.zeros(5))
    found = strength_max(L1(1.0), grads)
    np.testing.assert_allclose(found, lars_path(x, y, method="lasso")[0][0], rtol=1e-12)
    assert found.dtype == jnp.float64
    mixed = {"a": jnp.ones(2, jnp.float32), "b": jnp.full(2, 3.0)}
    assert float(strength_max(L1(1.0), mixed)) == 3
    assert linear_model.Lasso(0.99 * float(found), fit_intercept=False, tol=1e-12).fit(x, y).coef_.any()


def test_what_is_not_held_does_not_count():
    grads = {"w": jnp.array([1.0, -3.0]), "b": jnp.array([50.0]), "steps": jnp.array(3)}
    assert float(strength_max(L1(1.0).on("w"), grads)) == 3
    assert float(strength_max(L1(1.0).on("w") + L2(1.0).on("b"), grads)) == 3
    assert float(strength_max(L1({"w": np.array([1.0, 0.0]), "b": 0.0, "steps": 0.0}), grads)) == 1
    assert float(strength_max(L1(1.0), jax.tree.map(jnp.zeros_like, grads))) == 0


def test_under_jit_and_vmap_errors_are_nan():
    grads = jnp.asarray(GRADS)
    found = jax.jit(jax.vmap(lambda s: strength_max(L1(s), grads)))(jnp.array([1.0, 2.0, 0.0, -1.0]))
    np.testing.assert_allclose(found, np.abs(GRADS).max() / np.array([1, 2, np.nan, np.nan]), rtol=1e-6)
    assert np.isnan(jax.jit(lambda g: strength_max(L1(1.0), g))(grads.at[0, 0].set(jnp.inf)))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.complex64])
def test_other_dtypes(dtype):
    grads = jnp.asarray(GRADS).astype(dtype)
    found = strength_max(L1(1.0), grads)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, np.abs(np.asarray(grads.astype(jnp.complex64))).max(), rtol=1e-6)


class Infinite(L1.__base__):
    strength: float

    def value_of(self, r):
        return self.strength * jnp.sqrt(r)

    def slope_of(self, r):
        return self.strength / jnp.sqrt(r)


class Quartic(Penalty):
    strength: float

    def value_at(self, w):
        return jnp.sum(self.strength * w**4)


def test_where_there_is_none_the_error_says_so():
    grads = {"w": jnp.ones(2)}
    for penalty in (L2(1.0), Huber(1.0), L2(1.0).on("w") + L2(2.0)):
        with pytest.raises(TypeError, match=r"no kink at zero.*add an L1"):
            strength_max(penalty, grads)
    with pytest.raises(TypeError, match="Quartic has no `subgradient_at`"):
        strength_max(Quartic(1.0), grads)
    with pytest.raises(ValueError, match=r"no multiple of ElasticNet\(l1=0.0, l2=1.0\) holds"):
        strength_max(ElasticNet(0.0, 1.0), grads)
    with pytest.raises(ValueError, match="its kink is infinite"):
        strength_max(Infinite(1.0), grads)
    with pytest.raises(ValueError, match=r"not finite at \['w'\]"):
        strength_max(L1(1.0), {"w": jnp.array([1.0, jnp.nan])})
    with pytest.raises(TypeError, match="expected a Penalty"):
        strength_max("L1", grads)
    assert float(strength_max(L1(1.0), {})) == 0
    with pytest.raises(ValueError, match="matches none"):
        strength_max(L1(1.0).on("v"), grads)


def test_the_grid_is_that_of_scikit_learn(x64):
    from sklearn.linear_model import LassoCV

    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(20, 5)), rng.normal(size=20)
    alphas = LassoCV(alphas=7, eps=0.01, fit_intercept=False, cv=2).fit(x, y).alphas_
    np.testing.assert_allclose(strength_grid(alphas[0], ratio=0.01, count=7), alphas, rtol=1e-12)


def test_the_grid_begins_at_the_maximum_itself():
    grid = strength_grid(jnp.float32(0.1), count=5, ratio=0.5)
    assert grid.dtype == jnp.float32
    assert float(grid[0]) == float(jnp.float32(0.1))
    np.testing.assert_allclose(grid[1:] / grid[:-1], 0.5**0.25, rtol=1e-6)
    assert strength_grid(3, count=1).tolist() == [3.0]
    assert strength_grid(jnp.ones(2), count=3).shape == (3, 2)
    assert jax.jit(strength_grid)(jnp.float32(2)).shape == (64,)
    assert np.isnan(jax.vmap(strength_grid)(jnp.array([1.0, -1.0]))[1]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"maximum": 0.0}, "maximum is 0.0: expected a finite number > 0"),
        ({"maximum": float("nan")}, "maximum is nan"),
        ({"maximum": 1.0, "ratio": 1.0}, "ratio is 1.0: expected a number between 0 and 1"),
        ({"maximum": 1.0, "ratio": float("nan")}, "ratio is nan"),
        ({"maximum": 1.0, "count": 0}, "count is 0: expected an int ≥ 1"),
        ({"maximum": 1.0, "count": 2.5}, "count is 2.5 of type float: expected an int"),
        ({"maximum": "strong"}, "maximum is 'strong'"),
    ],
)
def test_a_grid_out_of_range_is_refused(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        strength_grid(**arguments)
