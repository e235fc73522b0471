"""proximal in optax chains: what it solves, and which step sizes it takes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn import linear_model

from penalties import L1, Penalty, proximal

from problems import design, lenient


def test_a_narrow_dtype_does_not_lose_the_exact_zeros_of_the_prox():
    params = {"w": jnp.array([0.3, -0.7, 0.01], jnp.bfloat16)}
    transform = proximal(L1(1.0), 100.0)
    updates, _ = transform.update({"w": jnp.array([0.123, 0.456, 0.789])}, transform.init(params), params)
    assert updates["w"].dtype == jnp.float32
    with jax.numpy_dtype_promotion("standard"):
        assert optax.apply_updates(params, updates)["w"].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("wrong", [-0.1, np.nan, np.inf])
def test_a_step_size_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match=r"step_size is .*: expected a finite number"):
        proximal(L1(0.1), wrong)


@pytest.mark.parametrize("wrong", ["0.1", (), True])
def test_a_step_size_that_is_no_number_is_refused(wrong):
    with pytest.raises(TypeError, match=r"step_size is .*: expected a number"):
        proximal(L1(0.1), wrong)


@functools.cache
def lasso():
    """x, y, a step size, and λ: with scikit-learn's solutions at λ and at a tenth of it."""
    x, truth, rng = design(0, 60, 20, badly_scaled=False)
    y = x @ truth + 0.5 * rng.normal(size=60)
    rate = 0.5 * 60 / (2 * np.linalg.norm(x, 2) ** 2)

    def solution(strength):
        oracle = linear_model.Lasso(strength / 2, fit_intercept=False, tol=1e-14, max_iter=100_000)
        return oracle.fit(x, y).coef_

    return x, y, rate, {s: solution(s) for s in (1.0, 0.1)}


def solve(optimizer, steps=3_000):
    x, y, *_ = lasso()

    def step(carry, _):
        w, state = carry
        updates, state = optimizer.update(jax.grad(lambda w: jnp.mean((x @ w - y) ** 2))(w), state, w)
        return (optax.apply_updates(w, updates), state), None

    w = jnp.zeros(x.shape[1])
    return np.asarray(jax.jit(lambda c: jax.lax.scan(step, c, length=steps)[0][0])((w, optimizer.init(w))))


def assert_solves(w, solution):
    np.testing.assert_allclose(w, solution, rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(w == 0, solution == 0)
    assert 0 < np.sum(solution == 0) < solution.size


def test_after_sgd_it_solves_the_lasso_zeros_included(x64):
    _, _, rate, solutions = lasso()
    assert_solves(solve(optax.chain(optax.sgd(rate), proximal(L1(1.0), rate))), solutions[1.0])


def test_its_step_size_may_be_the_learning_rates_schedule(x64):
    _, _, rate, solutions = lasso()
    schedule = optax.cosine_decay_schedule(rate, 6_000)
    chain = lenient(optax.chain(optax.sgd(schedule), proximal(L1(1.0), schedule)))
    assert_solves(solve(chain), solutions[1.0])
    shifted = solve(lenient(optax.chain(optax.sgd(schedule), proximal(L1(1.0), rate))))
    assert np.max(np.abs(shifted - solutions[1.0])) > 1e-3


def test_after_momentum_it_solves_the_lasso_of_a_smaller_strength(x64):
    _, _, rate, solutions = lasso()
    optimizer = optax.chain(optax.sgd(rate / 3, momentum=0.9), proximal(L1(1.0), rate / 3))
    assert_solves(solve(optimizer), solutions[0.1])  # (1 − 0.9)·1.0


def test_after_adam_it_is_the_unpenalized_solution_as_its_docstring_warns(x64):
    x, y, _, solutions = lasso()
    schedule = optax.cosine_decay_schedule(1e-2, 20_000)
    w = solve(lenient(optax.chain(optax.adam(schedule), proximal(L1(0.1), schedule))), 20_000)
    unpenalized = np.linalg.lstsq(x, y)[0]
    assert np.linalg.norm(w - unpenalized) < 0.1 * np.linalg.norm(solutions[0.1] - unpenalized)


def test_a_penalty_without_a_rule_for_zeros_has_a_prox_all_the_same():
    class UpToOne(Penalty):
        """The projection onto [-1, 1]."""

        def value_at(self, w):
            return jnp.zeros((), w.dtype)

        def prox_at(self, v, step):
            return jnp.clip(v, -1, 1)

    params = {"w": jnp.array([0.5, -0.5])}
    optimizer = optax.chain(optax.sgd(1.0), proximal(UpToOne(), 1.0))
    updates, _ = optimizer.update({"w": jnp.array([-3.0, 0.25])}, optimizer.init(params), params)
    assert optax.apply_updates(params, updates)["w"].tolist() == [1.0, -0.75]


def test_proximal_takes_one_step_size():
    for wrong in ({"a": 0.1}, jnp.ones(2)):
        with pytest.raises(ValueError, match="expected one number"):
            proximal(L1(0.1), wrong)
    params = jnp.ones(2)
    optimizer = proximal(L1(0.1), lambda count: -1.0)
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    assert bool(jnp.all(jnp.isnan(updates)))
