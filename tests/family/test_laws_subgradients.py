"""The laws of subgradients and of settling, for every settling penalty of the table in `cases/`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from penalties import L1

from cases import SHAPES, Case, flat, random_params, ravel
from laws import STRENGTH, assert_same_bits, every_settling_case, half_zero_params, unravel_np


@every_settling_case
@pytest.mark.usefixtures("x64")
def test_subgradient_is_zero_at_a_solution(case: Case):
    penalty = case.make(STRENGTH)
    for scale in (0.1, 1.0, 3.0):
        v = random_params(4, jnp.float64, scale)
        z = penalty.prox(v, 1.0)  # minimizes ½‖z − v‖² + R(z), whose first term has gradient z − v
        np.testing.assert_allclose(
            ravel(penalty.subgradient(z, jax.tree.map(jnp.subtract, z, v))), 0, atol=1e-14
        )
        for path, w in flat(penalty.subgradient(z, jax.tree.map(jnp.subtract, z, v))).items():
            zero = flat(z)[path] == 0
            assert np.all(w[zero] == 0), "exactly zero where the solution is"


@every_settling_case
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_subgradient_is_the_one_of_least_norm(case: Case, scale: float):
    if not case.convex:
        pytest.skip("not convex")
    # d is the element of least norm of ∂F(w), F = ⟨g, ·⟩ + R convex, if and only if d is in it and the
    # slope of F at w in the direction −d is −‖d‖².
    penalty, params, grads = case.make(STRENGTH), half_zero_params(), random_params(6, jnp.float64, scale)
    at, g, d = ravel(params), ravel(grads), ravel(penalty.subgradient(params, grads))

    def total(w):
        return g @ w + case.total(unravel_np(w), STRENGTH)

    rng = np.random.default_rng(0)
    for size in (1e-4, 1e-1, 1.0):
        for _ in range(20):
            away = size * rng.normal(size=at.size)
            assert total(at + away) >= total(at) + d @ away - 1e-12
    h = 1e-7
    np.testing.assert_allclose((total(at - h * d) - total(at)) / h, -d @ d, rtol=1e-5, atol=1e-6)


@every_settling_case
def test_subgradient_away_from_kinks_is_the_gradient(case: Case):
    penalty, params, grads = case.make(STRENGTH), random_params(), random_params(1)
    expected = ravel(grads) + ravel(jax.grad(penalty)(params))
    np.testing.assert_allclose(ravel(penalty.subgradient(params, grads)), expected, rtol=1e-5, atol=1e-6)


@every_settling_case
def test_subgradient_and_settle_keep_dtypes(case: Case):
    dtype = jnp.bfloat16
    penalty, params, grads = case.make(STRENGTH), random_params(), random_params(1, dtype)
    direction = penalty.subgradient(params, grads)
    settled = penalty.settle(random_params(0, dtype), random_params(2, dtype), direction)
    assert {x.dtype for x in jax.tree.leaves((direction, settled))} == {jnp.dtype(dtype)}


@every_settling_case
def test_subgradient_and_settle_leave_the_unselected_alone(case: Case):
    params, grads, moved = random_params(0), random_params(1), random_params(2)
    penalty = case.make(STRENGTH)
    direction = penalty.subgradient(params, grads)
    settled = penalty.settle(params, moved, direction)
    for path in SHAPES:
        owner, name = path.split("/")
        if not case.selects(path):
            assert direction[owner][name] is grads[owner][name]
            assert settled[owner][name] is moved[owner][name]


@every_settling_case
def test_settle_keeps_what_crossed_no_kink(case: Case):
    penalty, params = case.make(STRENGTH), random_params()
    direction = jax.tree.map(jnp.zeros_like, params)
    for factor in (0.5, 1.0, 2.0):
        moved = jax.tree.map(lambda w, factor=factor: factor * w, params)
        assert_same_bits(penalty.settle(params, moved, direction), moved)


@every_settling_case
def test_settle_zeroes_what_crossed_a_kink(case: Case):
    penalty, params = case.make(STRENGTH), random_params()
    direction = jax.tree.map(lambda w: 2.0 * w, params)
    moved = jax.tree.map(jnp.negative, params)
    for path, w in flat(penalty.settle(params, moved, direction)).items():
        expected = np.zeros_like(w) if case.has_kink(path) else flat(moved)[path]
        np.testing.assert_array_equal(w, expected)


@every_settling_case
def test_settle_lets_weights_leave_zero_down_the_subgradient_only(case: Case):
    if not case.kink_stays:
        pytest.skip("where all are zero there is no kink")
    penalty, zero = case.make(STRENGTH), jax.tree.map(jnp.zeros_like, random_params())
    grads = jax.tree.map(lambda w: 100.0 * jnp.sign(w), random_params())
    direction = penalty.subgradient(zero, grads)
    down = jax.tree.map(lambda d: -0.1 * d, direction)
    assert_same_bits(penalty.settle(zero, down, direction), down)
    up = jax.tree.map(lambda d: 0.1 * d, direction)
    for path, w in flat(penalty.settle(zero, up, direction)).items():
        expected = np.zeros_like(w) if case.has_kink(path) else flat(up)[path]
        np.testing.assert_array_equal(w, expected)


@every_settling_case
def test_settle_keeps_nan(case: Case):
    penalty, params = case.make(STRENGTH), random_params()
    moved = jax.tree.map(lambda w: jnp.full_like(w, jnp.nan), params)
    assert np.all(np.isnan(ravel(penalty.settle(params, moved, params))))


def test_settle_says_that_the_direction_is_of_another_structure():
    params = {"a": jnp.ones(3), "b": jnp.ones(2)}
    with pytest.raises(ValueError, match="that direction has not"):
        L1(0.1).settle(params, params, {"a": jnp.ones(3)})
    with pytest.raises(ValueError, match="in direction"):
        L1(0.1).settle(params, params, {"a": jnp.ones(3), "b": jnp.ones(3)})
