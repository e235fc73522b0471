"""Total variation and squared differences, against oracles of their own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from penalties import L1, L2, MCP, GroupLasso, SquaredDifferences, TotalVariation, penalized

pytestmark = pytest.mark.usefixtures("x64")

_prox = jax.jit(lambda v, strength: TotalVariation(strength).prox(v))


def by_its_dual(v: np.ndarray, strength: float) -> np.ndarray:
    """v − Dᵀu for the u with |u| ≤ strength that makes it smallest, by SciPy's active sets."""
    differences = np.diff(np.eye(v.size), axis=0)
    u = lsq_linear(differences.T, v, (-strength, strength), tol=1e-15, method="bvls").x
    return v - differences.T @ u


@given(
    st.sampled_from([2, 3, 9, 20]),
    st.sampled_from([0.01, 0.2, 1.0, 7.0]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_the_prox_is_that_of_its_dual(n, strength, ties, seed):
    v = np.random.default_rng(seed).normal(size=n).cumsum()
    v = np.round(v * 2) / 2 if ties else v
    np.testing.assert_allclose(_prox(v, strength), by_its_dual(v, strength), atol=1e-12)


def test_each_line_by_itself_along_any_axis():
    v = np.random.default_rng(0).normal(size=(3, 4, 2))
    strengths = np.array([[[0.1, 0.7]], [[0.3, 0.0]], [[2.0, 9.0]]])
    new = TotalVariation(strengths, axis=1).prox(v, 2.0)
    for i in range(3):
        for j in range(2):
            expected = by_its_dual(v[i, :, j], max(2 * strengths[i, 0, j], 1e-12))
            np.testing.assert_allclose(new[i, :, j], expected, atol=1e-11)


def test_a_long_line_in_float32_far_from_zero():
    rng = np.random.default_rng(0)
    v = (np.repeat(rng.normal(size=50), 40) + 0.1 * rng.normal(size=2000)).astype(np.float32)
    wide = _prox(v.astype(np.float64), 1.0)
    np.testing.assert_allclose(_prox(v, jnp.float32(1.0)), wide, atol=2e-6)
    np.testing.assert_allclose(_prox(v + 1000, jnp.float32(1.0)), wide + 1000, atol=2e-3)
    assert np.unique(_prox(v, jnp.float32(1.0))).size == np.unique(wide).size


@pytest.mark.parametrize("penalty", [TotalVariation(2.0), SquaredDifferences(2.0)])
@pytest.mark.parametrize("shape", [(0,), (1,), (3, 0), (0, 3), (2, 1)])
def test_lines_without_neighbours_stay(penalty, shape):
    w = jnp.full(shape, 3.0)
    assert float(penalty(w)) == 0
    np.testing.assert_array_equal(penalty.prox(w), w)


@pytest.mark.parametrize("value", [0.1, -1e-30, 3e30])
def test_a_constant_line_is_not_changed(value):
    w = jnp.full(7, value)
    np.testing.assert_array_equal(TotalVariation(0.3).prox(w), w)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_line_that_is_not_finite_leaves_the_others_alone(bad):
    w = jnp.asarray([[1.0, 2.0, 5.0], [1.0, bad, 5.0]])
    new = TotalVariation(0.5).prox(w)
    np.testing.assert_allclose(new[0], [1.5, 2.0, 4.5])
    assert np.all(np.isnan(new[1]))
    np.testing.assert_array_equal(TotalVariation(0.5).prox(w, 0.0), w)


@pytest.mark.slow
def test_the_derivative_of_the_prox_is_the_difference_quotient():
    rng = np.random.default_rng(1)
    v, dv, h = rng.normal(size=12), rng.normal(size=12), 1e-7
    tangent = jax.jvp(_prox, (v, 0.4), (dv, 0.3))[1]
    quotient = (_prox(v + h * dv, 0.4 + h * 0.3) - _prox(v - h * dv, 0.4 - h * 0.3)) / (2 * h)
    np.testing.assert_allclose(tangent, quotient, atol=1e-7)
    pulled = jax.grad(lambda v: _prox(v, 0.4) @ dv)(v)
    np.testing.assert_allclose(pulled @ dv, jax.jvp(lambda v: _prox(v, 0.4) @ dv, (v,), (dv,))[1])


def test_the_fused_lasso_is_solved_by_no_other_point():
    rng = np.random.default_rng(2)
    v = rng.normal(size=8)
    penalty = TotalVariation(0.3) + L1(0.2) + L2(0.1)
    z = np.asarray(penalty.prox(v))
    best = float(penalty(z)) + 0.5 * np.sum((z - v) ** 2)
    points = z + rng.normal(size=(400, 8)) * rng.choice([1e-4, 1e-2, 1.0], size=(400, 1))
    costs = jax.vmap(penalty)(jnp.asarray(points)) + 0.5 * np.sum((points - v) ** 2, 1)
    assert np.all(costs >= best - 1e-12)


def test_two_variations_along_one_axis_are_one():
    v = np.random.default_rng(3).normal(size=10)
    np.testing.assert_allclose((TotalVariation(0.2) + TotalVariation(0.3)).prox(v), _prox(v, 0.5), atol=1e-12)


def test_squared_differences_solve_a_linear_system():
    v = np.random.default_rng(4).normal(size=(3, 6))
    d = np.diff(np.eye(6), axis=0)
    expected = np.linalg.solve(np.eye(6) + 2 * 0.7 * 0.5 * d.T @ d, v.T).T
    np.testing.assert_allclose(SquaredDifferences(0.7).prox(v, 0.5), expected, atol=1e-12)
    both = SquaredDifferences(0.7).prox(v + 2j * v, 0.5)
    np.testing.assert_allclose(both, expected + 2j * expected, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: TotalVariation(1.0).prox(jnp.float32(1)), "expected a leaf with axes"),
        (lambda: TotalVariation(1.0, 2)(jnp.ones((2, 3))), "axes between -2 and 1"),
        (
            lambda: SquaredDifferences(np.ones(3))(jnp.ones((2, 3))),
            "strength of shape .* varies along the axis",
        ),
        (lambda: TotalVariation(1.0).prox(jnp.ones((2, 3)), np.ones(3)), "step of shape .* varies along"),
        (
            lambda: (TotalVariation(1.0) + L1(np.arange(3.0))).prox(jnp.ones((2, 3))),
            "varies along the axis of TotalVariation",
        ),
    ],
)
def test_what_does_not_fit_a_leaf_is_named(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize("other", [TotalVariation(1.0, 0), GroupLasso(1.0), MCP(1.0)])
def test_sums_without_a_prox_say_so(other):
    with pytest.raises(TypeError, match="no prox in closed form"):
        (TotalVariation(1.0) + other).prox(jnp.ones((2, 2)))


def test_wrong_kinds_are_refused():
    with pytest.raises(TypeError, match="axis is True of type bool: expected an int"):
        TotalVariation(1.0, True)
    with pytest.raises(TypeError, match="no prox of complex weights"):
        TotalVariation(1.0).prox(jnp.ones(3, jnp.complex64))
    with pytest.raises(TypeError, match=r"TotalVariation has no .*proximal\(penalty"):
        penalized(None, TotalVariation(1.0) + L1(1.0))
