"""SLOPE and its relatives, against scikit-learn's isotonic regression and sums written out."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import isotonic_regression

from penalties import L1, L2, OSCAR, SLOPE, GroupLasso, GroupSLOPE, TotalVariation, penalized

pytestmark = pytest.mark.usefixtures("x64")

_prox = jax.jit(lambda v, strengths: SLOPE(strengths).prox(v))


def by_isotonic_regression(v: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    order = np.argsort(-np.abs(v))
    new = np.zeros_like(v)
    new[order] = np.maximum(isotonic_regression(np.abs(v)[order] - strengths, increasing=False), 0)
    return np.sign(v) * new


@given(st.sampled_from([1, 2, 3, 9, 40]), st.booleans(), st.integers(0, 2**32 - 1))
def test_the_prox_is_isotonic_regression(n, ties, seed):
    rng = np.random.default_rng(seed)
    v, strengths = 2 * rng.normal(size=n), np.sort(rng.exponential(size=n))[::-1]
    if ties:
        v, strengths = np.round(v * 2) / 2, np.ceil(strengths)
    np.testing.assert_allclose(_prox(v, strengths), by_isotonic_regression(v, strengths), atol=1e-13)


def test_no_other_point_is_better():
    rng = np.random.default_rng(0)
    v, strengths = rng.normal(size=6), np.array([1.0, 0.8, 0.8, 0.3, 0.1, 0.0])
    penalty = SLOPE(strengths) + L1(0.1) + L2(0.2)
    z = np.asarray(penalty.prox(v))
    best = float(penalty(z)) + 0.5 * np.sum((z - v) ** 2)
    points = z + rng.normal(size=(400, 6)) * rng.choice([1e-4, 1e-2, 1.0], size=(400, 1))
    costs = jax.vmap(penalty)(jnp.asarray(points)) + 0.5 * np.sum((points - v) ** 2, 1)
    assert np.all(costs >= best - 1e-12)


def test_weights_of_one_size_are_exactly_of_one_size():
    z = _prox(np.array([3.1, -3.0, 2.9, 0.1]).astype(np.float32), np.array([3, 2, 1, 0.5]).astype(np.float32))
    assert np.unique(np.abs(z)).size == 2
    assert z[3] == 0


def test_oscar_is_a_sum_over_pairs():
    w = np.random.default_rng(1).normal(size=7)
    pairs = sum(max(abs(a), abs(b)) for a, b in itertools.combinations(w, 2))
    np.testing.assert_allclose(OSCAR(0.3, 0.2)(w), 0.3 * np.abs(w).sum() + 0.2 * pairs)


def test_one_strength_is_the_lasso():
    w = np.random.default_rng(2).normal(size=(3, 4))
    np.testing.assert_allclose(SLOPE(0.3).prox(w), L1(0.3).prox(w), atol=1e-15)
    np.testing.assert_allclose(GroupSLOPE(0.3)(w), GroupLasso(0.3)(w))
    np.testing.assert_allclose(GroupSLOPE(0.3, 0).prox(w, 0.5), GroupLasso(0.3, 0).prox(w, 0.5))


def test_groups_are_shrunk_as_their_norms_are():
    w = np.random.default_rng(3).normal(size=(4, 5, 3))
    strengths = np.linspace(0.6, 0.5, 12)
    norms = np.linalg.norm(w, axis=1)
    expected = by_isotonic_regression(norms.ravel(), 2 * strengths * np.sqrt(5)).reshape(norms.shape) / norms
    np.testing.assert_allclose(GroupSLOPE(strengths, (0, 2)).prox(w, 2.0), w * expected[:, None])
    value = np.sqrt(5) * np.sort(norms.ravel())[::-1] @ strengths
    np.testing.assert_allclose(GroupSLOPE(strengths, (0, 2))(w), value)
    assert (expected == 0).any()


def test_the_derivative_of_the_prox_is_the_difference_quotient():
    rng = np.random.default_rng(4)
    v, dv, strengths, h = rng.normal(size=9), rng.normal(size=9), np.linspace(0.7, 0.1, 9), 1e-7
    tangent = jax.jvp(_prox, (v, strengths), (dv, strengths))[1]
    up, down = (_prox(v + s * h * dv, (1 + s * h) * strengths) for s in (1, -1))
    np.testing.assert_allclose(tangent, (up - down) / (2 * h), atol=1e-7)
    assert np.all(np.isfinite(jax.grad(lambda v: _prox(v, strengths).sum())(np.zeros(9))))


def test_a_tree_of_strengths_for_leaves_of_several_sizes():
    params = {"a": jnp.array([1.0, -2.0]), "b": jnp.ones((2, 2))}
    penalty = 2 * SLOPE({"a": np.array([2.0, 1.0]), "b": 0.5})
    assert float(penalty(params)) == 2 * (4 + 1 + 2)
    assert float(jax.jit(lambda s: SLOPE(s)(params["a"]))(np.array([2.0, 1.0]))) == 5
    assert np.isnan(jax.jit(lambda s: SLOPE(s)(params["a"]))(np.array([1.0, 2.0])))
    batch = jax.vmap(lambda s: SLOPE(s).prox(params["a"]))(np.array([[2.0, 1.0], [0.5, 0.0]]))
    np.testing.assert_allclose(batch, [[0.0, 0.0], [1.0, -1.5]], atol=1e-15)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays(bad):
    z = SLOPE(np.array([0.3, 0.2, 0.1])).prox(jnp.array([bad, 2.0, 1.0]))
    assert not np.isfinite(z[0])
    assert np.isfinite(z[1])


def test_empty_leaves_scalars_and_complex_ones():
    for penalty in (SLOPE(0.5), OSCAR(0.5, 1.0), GroupSLOPE(0.5)):
        assert penalty.prox(jnp.zeros((0, 3))).shape == (0, 3)
        assert float(penalty(jnp.zeros((3, 0)))) == 0
    assert float(SLOPE([0.5]).prox(jnp.asarray(2.0))) == 1.5
    w = jnp.array([3 + 4j, 0.1j, 0])
    np.testing.assert_allclose(SLOPE([1.0, 0.5, 0.0]).prox(w), [4 / 5 * (3 + 4j), 0, 0], atol=1e-15)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: SLOPE([1.0, 2.0]), "strengths of shape .* increase somewhere"),
        (lambda: SLOPE([1.0, -2.0]), "negative, NaN or infinite"),
        (lambda: SLOPE([2.0, 1.0])(jnp.ones(3)), "expected one number, or 3 of them"),
        (lambda: GroupSLOPE([2.0, 1.0], axis=0)(jnp.ones((3, 2))), "expected one number, or 3 of them"),
        (lambda: GroupSLOPE([2.0, 1.0], axis=2)(jnp.ones((3, 2))), "axes between -2 and 1"),
        (lambda: SLOPE(1.0).prox(jnp.ones(3), np.ones(3)), "the step of shape .* varies within the leaf"),
        (lambda: (SLOPE(1.0) + L1(np.ones(3))).prox(jnp.ones(3)), "on which SLOPE needs one number"),
    ],
)
def test_what_does_not_fit_a_leaf_is_named(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_no_rule_for_zeros_and_no_prox_with_other_structures():
    with pytest.raises(TypeError, match=r"SLOPE has no .*proximal\(penalty"):
        penalized(None, SLOPE(1.0))
    for other in (TotalVariation(1.0), GroupLasso(1.0)):
        with pytest.raises(TypeError, match="no prox in closed form"):
            (SLOPE(1.0) + other).prox(jnp.ones((2, 2)))
