"""GroupLasso against closed forms in NumPy and a solver that knows nothing of proxes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from penalties import L1, L2, ElasticNet, Grouped, GroupLasso, functional, group_lasso

WEIGHTS = np.random.default_rng(0).normal(size=(3, 4))


def groups_of_columns(w: np.ndarray) -> np.ndarray:
    return np.sqrt(len(w)) * np.linalg.norm(w, axis=0)


@pytest.mark.usefixtures("x64")
def test_each_output_is_a_group():
    np.testing.assert_allclose(GroupLasso(0.5)(WEIGHTS), 0.5 * groups_of_columns(WEIGHTS).sum(), rtol=1e-13)
    rows = GroupLasso(0.5, axis=0)
    np.testing.assert_allclose(rows(WEIGHTS), 0.5 * groups_of_columns(WEIGHTS.T).sum(), rtol=1e-13)


@pytest.mark.usefixtures("x64")
def test_groups_of_several_axes():
    w = np.random.default_rng(1).normal(size=(2, 3, 4))
    by_hand = sum(np.sqrt(3) * np.linalg.norm(w[i, :, j]) for i in range(2) for j in range(4))
    np.testing.assert_allclose(GroupLasso(1.0, axis=(0, -1))(w), by_hand, rtol=1e-13)
    np.testing.assert_allclose(GroupLasso(1.0, axis=(0, 2))(w), by_hand, rtol=1e-13)


def test_axis_minus_one_of_stacked_kernels_joins_the_layers():
    w = jnp.ones((2, 3, 4))
    np.testing.assert_allclose(GroupLasso(1.0)(w), 4 * 6, rtol=1e-6)
    np.testing.assert_allclose(GroupLasso(1.0, axis=(0, -1))(w), 8 * 3, rtol=1e-6)


def test_groups_of_one_weight_are_the_lasso():
    w = jnp.asarray(WEIGHTS, jnp.float32)
    groups, single = GroupLasso(0.3, axis=(0, 1)), L1(0.3)
    np.testing.assert_allclose(groups(w), single(w), rtol=1e-6)
    np.testing.assert_allclose(groups.prox(w), single.prox(w), atol=1e-6)


def test_a_leaf_without_axes_is_one_group():
    assert GroupLasso(0.5)(jnp.asarray(-3.0)) == 1.5
    assert GroupLasso(0.5).prox(jnp.asarray(-3.0)) == -2.5


def test_functions_are_the_class():
    w = jnp.asarray(WEIGHTS, jnp.float32)
    assert group_lasso(w, 0.5, axis=0) == GroupLasso(0.5, axis=0)(w)
    z = functional.prox_group_lasso(w, 0.5, axis=0, step=0.1)
    np.testing.assert_array_equal(z, GroupLasso(0.5, axis=0).prox(w, 0.1))


@pytest.mark.usefixtures("x64")
@given(w=st.lists(st.floats(-10, 10), min_size=6, max_size=6), strength=st.floats(0, 5), step=st.floats(0, 5))
def test_prox_shrinks_the_norm_of_each_group(w, strength, step):
    v = np.asarray(w).reshape(3, 2)
    norms = np.sqrt((v**2).sum(0))
    shrunk = np.maximum(norms - step * strength * np.sqrt(3), 0)
    expected = v * np.divide(shrunk, norms, out=np.zeros(2), where=norms > 0)
    np.testing.assert_allclose(GroupLasso(strength).prox(v, step), expected, atol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_sparse_group_prox_is_found_by_a_general_solver(scale):
    v = scale * WEIGHTS

    # |w| as p + q with p, q ≥ 0, so that the solver sees no kink of Σ|w|.
    def objective(pq):
        p, q = pq.reshape(2, *v.shape)
        w = p - q
        groups = np.sqrt((w**2).sum(0) + 1e-16)
        value = 0.5 * ((w - v) ** 2).sum() + 0.3 * (p + q).sum() + 0.4 * np.sqrt(3) * groups.sum()
        slope = w - v + 0.4 * np.sqrt(3) * w / groups
        return value, np.concatenate([(0.3 + slope).ravel(), (0.3 - slope).ravel()])

    options = {"ftol": 1e-15, "gtol": 1e-10, "maxfun": 10**6, "maxiter": 10**5}
    start = np.concatenate([np.maximum(v, 0.1).ravel(), np.maximum(-v, 0.1).ravel()])
    found = minimize(objective, start, jac=True, bounds=[(0, None)] * start.size, options=options)
    p, q = found.x.reshape(2, *v.shape)
    z = (L1(0.3) + GroupLasso(0.4)).prox(v)
    np.testing.assert_allclose(z, p - q, atol=1e-3)
    best = np.concatenate([np.maximum(z, 0).ravel(), np.maximum(-z, 0).ravel()])
    assert objective(best)[0] <= found.fun + 1e-6


def test_the_order_of_a_sum_does_not_matter():
    w = jnp.asarray(WEIGHTS, jnp.float32)
    terms = [L1(0.1), GroupLasso(0.2), L2(0.3)]
    first = sum(terms).prox(w, 0.5)
    for order in ([2, 1, 0], [1, 0, 2], [1, 2, 0]):
        np.testing.assert_allclose(sum(terms[i] for i in order).prox(w, 0.5), first, rtol=1e-6)


def test_zero_groups_have_finite_derivatives():
    w = jnp.asarray(WEIGHTS, jnp.float32).at[:, 1].set(0)
    gradient = jax.grad(GroupLasso(0.5))(w)
    np.testing.assert_array_equal(gradient[:, 1], 0)
    assert np.all(np.isfinite(gradient))
    jacobian = jax.jacobian(GroupLasso(0.5).prox)(w)
    assert np.all(np.isfinite(jacobian))


def test_nan_stays_in_its_group():
    w = jnp.asarray(WEIGHTS, jnp.float32).at[0, 1].set(jnp.nan)
    z = np.asarray(GroupLasso(0.1).prox(w))
    np.testing.assert_array_equal(np.isnan(z).all(0), [False, True, False, False])
    np.testing.assert_array_equal(np.isnan(z).any(0), [False, True, False, False])


@pytest.mark.parametrize("make", [GroupLasso, L1])
def test_a_strength_or_a_step_that_is_nan_reaches_zeros(make):
    nan = jnp.float32(jnp.nan)
    for w in (jnp.zeros((2, 2)), jnp.zeros((2, 2), jnp.complex64)):
        assert np.isnan(jax.jit(lambda s, w: make(s).prox(w))(nan, w)).all()
        assert np.isnan(jax.jit(lambda s, w: make(s).subgradient(w, w))(nan, w)).all()
        assert np.isnan(jax.jit(make(0.1).prox)(w, jnp.full((2, 2), nan))).all()


def test_float16_norms_do_not_overflow():
    w = jnp.full((4, 1), 1000.0, jnp.float16)
    assert GroupLasso(1.0)(w) == 4000
    z = GroupLasso(1.0).prox(w, 500.0)
    np.testing.assert_array_equal(z, np.float16(500))
    assert z.dtype == jnp.float16


def test_complex_groups():
    w = jnp.asarray([[3j, 0], [4.0, 0]])
    np.testing.assert_allclose(GroupLasso(1.0)(w), 5 * np.sqrt(2), rtol=1e-6)
    z = GroupLasso(1 / np.sqrt(2)).prox(w, 2.5)
    np.testing.assert_allclose(z, np.asarray(w) / 2, rtol=1e-6)
    direction = GroupLasso(1 / np.sqrt(2)).subgradient(w, jnp.asarray([[0, 1j], [0, 0]]))
    np.testing.assert_allclose(direction, [[0.6j, 0], [0.8, 0]], atol=1e-6)


def test_each_group_may_have_its_own_strength():
    w = jnp.asarray(WEIGHTS, jnp.float32)
    strengths = np.float32([0, 0.1, 1, 100])
    penalty = GroupLasso(strengths)
    np.testing.assert_allclose(penalty(w), strengths @ groups_of_columns(WEIGHTS), rtol=1e-6)
    z = penalty.prox(w)
    np.testing.assert_array_equal(z[:, 0], w[:, 0])
    np.testing.assert_array_equal(z[:, 3], 0)
    for i in (1, 2):
        np.testing.assert_allclose(z[:, i], GroupLasso(strengths[i]).prox(w)[:, i], rtol=1e-6)


def test_each_group_may_have_its_own_step():
    w = jnp.asarray(WEIGHTS, jnp.float32)
    steps = jnp.asarray([[0.0, 0.1, 1.0, 100.0]])
    np.testing.assert_allclose(GroupLasso(0.5).prox(w, steps), GroupLasso(0.5 * steps).prox(w), rtol=1e-6)


def test_strengths_and_steps_may_not_vary_within_a_group():
    w = jnp.ones((3, 4))
    with pytest.raises(ValueError, match=r"strength of shape \(3, 4\) varies within the groups"):
        GroupLasso(jnp.ones((3, 4)))(w)
    with pytest.raises(ValueError, match=r"step of shape \(3, 4\) varies within the groups"):
        Grouped(ElasticNet(1.0, 1.0)).prox(w, jnp.ones((3, 4)))


def test_an_axis_that_a_leaf_has_not_is_an_error():
    with pytest.raises(ValueError, match=r"axis=2.*shape \(3,\).*\.on\("):
        GroupLasso(1.0, axis=2)({"bias": jnp.ones(3)})


def test_an_axis_is_not_scaled():
    assert (3 * GroupLasso(1.0, axis=1)).axis == 1


# Settling, group by group


def test_a_group_that_turns_round_becomes_zero():
    w = jnp.asarray([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    moved = jnp.asarray([[-2.0, -0.5, 0.5], [1.0, 1.0, 0.5]])
    settled = GroupLasso(0.1).settle(w, moved, jnp.ones((2, 3)))
    np.testing.assert_array_equal(settled, np.float32([[0, -0.5, 0], [0, 1, 0]]))


def test_a_zero_group_leaves_zero_against_its_direction():
    zero, direction = jnp.zeros((2, 1)), jnp.asarray([[1.0], [-1.0]])
    moved = -0.1 * direction
    np.testing.assert_array_equal(GroupLasso(0.1).settle(zero, moved, direction), moved)


@pytest.mark.usefixtures("x64")
def test_subgradient_of_a_zero_group_is_the_best_by_brute_force():
    gradient = np.asarray([[1.5], [0.5]])
    angle, radius = np.meshgrid(np.linspace(0, 2 * np.pi, 721), np.linspace(0, 1, 201))
    ball = 0.7 * np.sqrt(2) * np.stack([radius * np.cos(angle), radius * np.sin(angle)])
    candidates = gradient[:, :, None] + ball
    best = candidates.reshape(2, -1)[:, np.argmin(np.sqrt((candidates**2).sum(0)))]
    found = GroupLasso(0.7).subgradient(jnp.zeros((2, 1)), jnp.asarray(gradient))
    np.testing.assert_allclose(found[:, 0], best, atol=1e-2)
    small = GroupLasso(3.0).subgradient(jnp.zeros((2, 1)), jnp.asarray(gradient))
    np.testing.assert_array_equal(small, 0)


def test_axis_is_an_int_or_a_tuple_of_ints():
    for wrong in (None, "a", 1.0, True, (0, None)):
        with pytest.raises(TypeError, match="expected an int or a tuple of ints"):
            GroupLasso(0.1, axis=wrong)
    assert GroupLasso(0.1, axis=[0, -1]).axis == (0, -1)
    assert type(GroupLasso(0.1, axis=np.int64(0)).axis) is int


def test_overlapping_groups_have_neither_a_prox_nor_a_rule_for_zeros():
    overlapping = GroupLasso(1.0, axis=0) + GroupLasso(1.0, axis=-1)
    w = jnp.ones((2, 2))
    for call in (
        lambda: overlapping.prox(w),
        lambda: overlapping.subgradient(w, w),
        lambda: overlapping.settle(w, w, w),
    ):
        with pytest.raises(TypeError, match=r"has no (prox|rule for zeros) in closed form"):
            call()
