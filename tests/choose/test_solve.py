"""solve: the solutions of scikit-learn and jaxopt, their derivatives, and what it says when it fails."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from sklearn import linear_model

from penalties import (
    L1,
    L2,
    MCP,
    ElasticNet,
    GroupLasso,
    Penalty,
    SmoothPenalty,
    grads_at_zero,
    optimality,
    solve,
    strength_max,
)

from choose.convex import LABELS, X, Y, log_loss, squares, zeros

PENALTY = ElasticNet(0.1, 0.05).on("w")


@jax.jit
def solved(penalty, y):
    return solve(squares, penalty, zeros(), jnp.asarray(X), jnp.asarray(Y) + y, tol=1e-12)


def test_lasso_and_elastic_net_of_scikit_learn(x64):
    l1, l2 = np.array([0.5, 0.1, 0.01, 0.1]), np.array([0.0, 0.0, 0.0, 0.5])
    found = jax.vmap(lambda a, b: solved(ElasticNet(a, b).on("w"), 0.0))(jnp.array(l1), jnp.array(l2))
    for i in range(4):
        alpha = l1[i] + 2 * l2[i]
        oracle = linear_model.ElasticNet(alpha, l1_ratio=l1[i] / alpha, tol=1e-14, max_iter=100_000).fit(X, Y)
        np.testing.assert_allclose(found.params["w"][i], oracle.coef_, atol=1e-9)
        np.testing.assert_allclose(found.params["b"][i], oracle.intercept_, atol=1e-9)
        np.testing.assert_array_equal(found.params["w"][i] == 0, oracle.coef_ == 0)
    assert found.converged.all()
    assert len(set(found.iterations.tolist())) > 1  # each for itself


def test_logistic_regression_of_scikit_learn(x64):
    found = solve(log_loss, L1(0.05).on("w"), zeros(), X, LABELS, tol=1e-10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the spelling of l1, which changed
        oracle = linear_model.LogisticRegression(
            l1_ratio=1.0, C=1 / (0.05 * len(Y)), solver="saga", tol=1e-12, max_iter=1_000_000
        ).fit(X, LABELS)
    np.testing.assert_allclose(found.params["w"], oracle.coef_[0], atol=1e-6)
    np.testing.assert_allclose(found.params["b"], oracle.intercept_[0], atol=1e-6)


def test_what_it_says_is_what_optimality_says(x64):
    found = solve(squares, PENALTY, zeros(), X, Y, tol=1e-6)
    grads = jax.grad(squares)(found.params, X, Y)
    np.testing.assert_allclose(found.optimality, optimality(PENALTY, found.params, grads).norm, rtol=1e-9)
    at_zero = jax.grad(squares)(zeros(), X, Y)
    assert found.optimality <= 1e-6 * np.linalg.norm(np.r_[at_zero["w"], at_zero["b"]])


def test_a_warm_start_is_shorter_and_a_solution_takes_no_step(x64):
    cold = solve(squares, PENALTY, zeros(), X, Y, tol=1e-9)
    again = solve(squares, PENALTY, cold.params, X, Y, tol=1e-9)
    near = solve(squares, 0.999 * PENALTY, cold.params, X, Y, tol=1e-9)
    assert int(again.iterations) == 0
    np.testing.assert_array_equal(again.params["w"], cold.params["w"])
    assert 0 < int(near.iterations) < int(cold.iterations)


def central(function, at, reach=1e-4):
    return (function(at + reach) - function(at - reach)) / (2 * reach)


HYPER = {
    "ElasticNet": lambda a: ElasticNet(a, a**2).on("w"),
    "GroupLasso": lambda a: GroupLasso(a, axis=()).on("w"),
}
ONE_IS_SLOW = [HYPER["ElasticNet"], pytest.param(HYPER["GroupLasso"], marks=pytest.mark.slow)]


@pytest.mark.slow
@pytest.mark.parametrize("make", ONE_IS_SLOW, ids=HYPER)
def test_hypergradients_are_those_of_finite_differences(make, x64):
    def validation(a):
        params = solved(make(a), 0.0).params
        return jnp.sum(params["w"] ** 3) + params["b"] ** 2

    a = jnp.asarray(0.2)
    expected = central(validation, a)
    each = jax.vmap(jax.grad(validation))(jnp.stack([a, 2 * a]))
    np.testing.assert_allclose(each[0], expected, rtol=1e-5)
    np.testing.assert_allclose(jax.jvp(validation, (a,), (jnp.ones(()),))[1], expected, rtol=1e-5)


@pytest.mark.slow
def test_derivatives_by_data_and_of_second_order(x64):
    def total(a, y):
        return jnp.sum(solved(L1(a).on("w"), y).params["w"] ** 3)

    a, y = jnp.asarray(0.1), jnp.asarray(np.sin(np.arange(40.0)))
    by_y = jax.grad(total, 1)(a, 0 * y)
    np.testing.assert_allclose(by_y @ y, central(lambda t: total(a, t * y), 0.0), rtol=1e-5)
    second = jax.jit(jax.grad(jax.grad(total)))(a, 0 * y)
    np.testing.assert_allclose(second, central(lambda a: jax.grad(total)(a, 0 * y), a), rtol=1e-5)


def test_a_loss_over_traced_values_is_differentiated():
    def total(scale):
        return solve(lambda w: jnp.sum((w - scale) ** 2) / 2, L1(1.0), jnp.zeros(2)).params.sum()

    np.testing.assert_allclose(jax.grad(total)(3.0), 2, rtol=1e-6)
    assert float(jax.jit(jax.grad(total))(0.5)) == 0


def slopes(w, x, y):
    return squares({"w": w, "b": 0.0}, x, y)


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_steps_fit_the_curvature(scale):
    x, y = jnp.asarray(X * scale, jnp.float32), jnp.asarray(Y, jnp.float32)
    found = solve(slopes, L1(0.1 * scale), jnp.zeros(8), x, y)
    assert bool(found.converged)
    assert int(found.iterations) < 2_000


def exponential(w):
    return jnp.sum(jnp.exp(w) - 2 * w)


def test_steps_become_shorter_where_the_curvature_rises():
    found = solve(exponential, L1(0.5), jnp.array([-5.0, 0.0]))
    np.testing.assert_allclose(found.params, np.log(1.5), rtol=1e-5)


class UnitInterval(Penalty):
    """Weights in [0, 1]: a penalty with a prox and no rule for zeros."""

    def value_at(self, w):
        return jnp.where(jnp.all((w >= 0) & (w <= 1)), 0.0, jnp.inf)

    def prox_at(self, v, step):
        return jnp.clip(v, 0, 1)


def quadratic(w, target):
    return jnp.sum((w - target) ** 2)


def test_a_penalty_without_a_rule_for_zeros():
    target = jnp.array([-1.0, 0.5, 3.0])
    found = solve(quadratic, UnitInterval(), jnp.ones(3), target)
    np.testing.assert_allclose(found.params, [0, 0.5, 1], atol=1e-6)
    assert bool(found.converged)
    assert jax.grad(lambda t: solve(quadratic, UnitInterval(), jnp.ones(3), t).params.sum())(
        target
    ).tolist() == [
        0,
        1,
        0,
    ]


@pytest.mark.slow
def test_nonconvex_penalties_and_complex_weights():
    assert solve(quadratic, MCP(1.0), jnp.zeros(2), jnp.array([9.0, 0.1])).params.tolist() == [9, 0]
    target = jnp.array([3 + 4j, 0.1j], jnp.complex64)

    def loss(w):
        return jnp.sum(jnp.abs(w - target) ** 2) / 2

    found = solve(loss, L1(1.0), jnp.zeros(2, jnp.complex64))
    np.testing.assert_allclose(found.params, [(3 + 4j) * 0.8, 0], atol=1e-5)


@pytest.mark.slow
def test_params_of_nnx_and_leaves_that_are_not_trained():
    model = nnx.Linear(8, 1, rngs=nnx.Rngs(0))
    x, y = jnp.asarray(X, jnp.float32), jnp.asarray(Y, jnp.float32)
    found = solve(
        lambda model, x, y: jnp.mean((model(x)[:, 0] - y) ** 2) / 2, L1(0.5).on("kernel"), model, x, y
    )
    oracle = linear_model.Lasso(0.5, tol=1e-12).fit(X, Y)
    np.testing.assert_allclose(found.params.kernel[:, 0], oracle.coef_, atol=1e-4)
    tree = {"w": jnp.zeros(2), "steps": jnp.array(3)}
    found = solve(lambda p: jnp.sum((p["w"] - p["steps"].astype(float)) ** 2), L1(1.0), tree)
    np.testing.assert_allclose(found.params["w"], 2.5, rtol=1e-6)
    assert int(found.params["steps"]) == 3


def test_where_the_gradient_at_zero_is_zero_or_there_is_no_weight():
    found = solve(lambda w: jnp.sum(jnp.square(w)), L2(0.1), jnp.ones(2))
    assert bool(found.converged)
    assert int(found.iterations) < 100
    assert bool(solve(lambda w: jnp.sum(w), L1(0.1), jnp.ones(0)).converged)


def test_nothing_is_compiled_twice():
    traces = []

    def loss(w, y):
        traces.append(1)
        return jnp.sum((w - y) ** 2)

    solve(loss, L1(0.1), jnp.zeros(2), jnp.ones(2))
    once = len(traces)
    solve(loss, L1(jnp.float32(0.2)), jnp.ones(2), jnp.zeros(2), tol=1e-3, max_iterations=50)
    assert len(traces) == once


def test_failure_is_said():
    nan = solve(lambda w: jnp.nan * jnp.sum(w), L1(1.0), jnp.ones(3))
    assert not nan.converged
    assert int(nan.iterations) == 10
    early = solve(squares, L1(1e-3).on("w"), zeros(), *(jnp.asarray(v, jnp.float32) for v in (X, Y)),
                  max_iterations=1)  # fmt: skip
    assert not early.converged
    assert int(early.iterations) == 10
    traced = jax.jit(lambda s: solve(quadratic, L1(s), jnp.ones(2), jnp.ones(2)))(-1.0)
    assert not traced.converged
    assert np.isnan(traced.params).all()


class Quartic(SmoothPenalty):
    strength: float

    def value_at(self, w):
        return jnp.sum(self.strength * w**4)


PAIR = jnp.ones(2)
BAD = {
    "no prox": (TypeError, "Quartic has no prox", (quadratic, Quartic(1.0), PAIR, PAIR), {}),
    "no penalty": (TypeError, "expected a Penalty such as", (quadratic, 0.1, PAIR, PAIR), {}),
    "no scalar": (TypeError, r"array of shape \(2,\)", (lambda w: w, L1(1.0), PAIR), {}),
    "no array": (TypeError, "leaf 'f' of type builtin", (jnp.sum, L1(1.0), {"w": PAIR, "f": abs}), {}),
    "tols": (ValueError, r"tol has the shape \(2,\)", (quadratic, L1(1.0), PAIR, PAIR), {"tol": PAIR}),
    "tol": (ValueError, "tol is 0", (quadratic, L1(1.0), PAIR, PAIR), {"tol": 0}),
    "steps": (TypeError, "max_iterations is 1.5", (jnp.sum, L1(1.0), PAIR), {"max_iterations": 1.5}),
    "selection": (ValueError, "matches none", (quadratic, L1(1.0).on("v"), {"w": PAIR}, 0), {}),
}


@pytest.mark.parametrize(("error", "message", "args", "options"), BAD.values(), ids=BAD)
def test_bad_input(error, message, args, options):
    with pytest.raises(error, match=message):
        solve(*args, **options)


def test_the_gradient_at_zero_is_that_of_the_null_model(x64):
    params = {"w": jnp.ones(8), "b": jnp.ones(())}
    grads = grads_at_zero(squares, L1(1.0).on("w"), params, X, Y)
    centred = X.T @ (Y - Y.mean()) / len(Y)
    np.testing.assert_allclose(grads["w"], -centred, rtol=1e-9)
    maximum = strength_max(L1(1.0).on("w"), grads)
    np.testing.assert_allclose(maximum, np.abs(centred).max(), rtol=1e-9)
    above = solve(squares, L1(1.0001 * maximum).on("w"), params, X, Y, tol=1e-9).params
    below = solve(squares, L1(0.999 * maximum).on("w"), params, X, Y, tol=1e-9).params
    assert not above["w"].any()
    assert np.count_nonzero(below["w"]) == 1
    everywhere = grads_at_zero(squares, L1(1.0), params, X, Y)
    np.testing.assert_allclose(everywhere["b"], -Y.mean(), rtol=1e-9)


def test_jaxopt_has_the_same_solution(x64):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, at import
        jaxopt = pytest.importorskip("jaxopt", exc_type=ImportError)
    solver = jaxopt.ProximalGradient(slopes, jaxopt.prox.prox_lasso, maxiter=10_000, tol=1e-12)
    theirs = solver.run(jnp.zeros(8), 0.1, X, Y).params
    ours = solve(slopes, L1(0.1), jnp.zeros(8), X, Y, tol=1e-12)
    np.testing.assert_allclose(ours.params, theirs, atol=1e-9)
