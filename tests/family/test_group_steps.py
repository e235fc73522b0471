"""Thresholds of groups that are the root of a scalar equation: steps that differ, peers, derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads
from scipy.optimize import brentq

from penalties import L1, ElasticNet, ExclusiveLasso, Grouped, GroupLasso, GroupLInf, blocks, labels

from laws import seeds

NAMES = np.array([0, 1, 0, 1, 1, 0, 1, 0])


def by_root(v, thresholds):
    """The prox of ‖·‖₂ with a threshold for each weight, by the root of a scalar equation in log‖z‖."""
    if thresholds.all() and np.sum((v / thresholds) ** 2) <= 1:
        return np.zeros_like(v)
    if not np.any(v):
        return v
    high = np.log(np.linalg.norm(v))

    def excess(x):
        return np.sum((v / (np.exp(x) + thresholds)) ** 2) - 1

    root = brentq(excess, high - 80, high + 1e-9, xtol=1e-15)
    return v * np.exp(root) / (np.exp(root) + thresholds)


@pytest.mark.usefixtures("x64")
@given(seed=seeds(), decades=st.sampled_from([0.1, 1, 4]), some_zero=st.booleans())
def test_each_weight_of_a_group_may_have_its_own_step(seed, decades, some_zero):
    rng = np.random.default_rng(seed)
    v, steps = rng.normal(size=8), 10 ** (decades * rng.uniform(-1, 1, size=8))
    if some_zero:
        steps[:3] = 0
    z = GroupLasso(0.3, groups=labels(NAMES)).prox(v, steps)
    for name in (0, 1):
        mine = name == NAMES
        np.testing.assert_allclose(z[mine], by_root(v[mine], 0.6 * steps[mine]), rtol=1e-10, atol=1e-14)


@pytest.mark.usefixtures("x64")
def test_zero_if_and_only_if_the_scaled_norm_is_small():
    steps = np.array([0.5, 2.0, 4.0])
    v = np.array([0.3, -1.0, 2.0])
    strength = np.linalg.norm(v / steps)
    penalty = [GroupLasso(s * strength, groups=labels([0, 0, 0]), weights=1.0) for s in (1 - 1e-9, 1 + 1e-9)]
    assert np.all(penalty[0].prox(v, steps) != 0)
    np.testing.assert_array_equal(penalty[1].prox(v, steps), 0)


@pytest.mark.slow
def test_steps_that_do_not_differ_give_what_one_step_gives():
    v = jnp.asarray(np.random.default_rng(0).normal(size=(4, 6)), jnp.float32)
    for scale in (1.0, 1e-25, 1e25):
        one = GroupLasso(0.3).prox(scale * v, 0.5)
        np.testing.assert_allclose(GroupLasso(0.3).prox(scale * v, jnp.full((4, 6), 0.5)), one, rtol=1e-6)
        np.testing.assert_array_equal(GroupLasso(0.3).prox(scale * v, jnp.zeros((4, 6))), scale * v)
    np.testing.assert_array_equal(GroupLasso(0.0).prox(v, jnp.full((4, 6), 0.5)), v)
    np.testing.assert_array_equal(GroupLasso(1.0).prox(0 * v, jnp.full((4, 6), 0.5)), 0)
    nan = GroupLasso(0.1).prox(v.at[0, 1].set(jnp.nan), jnp.full((4, 6), 0.5))
    np.testing.assert_array_equal(np.isnan(nan).all(0), np.arange(6) == 1)


@pytest.mark.usefixtures("x64")
def test_a_sum_takes_such_steps_too():
    rng = np.random.default_rng(0)
    v, steps = 2 * rng.normal(size=(8, 1)), rng.uniform(0.1, 2, size=(8, 1))
    z = (L1(0.2) + GroupLasso(0.1)).prox(v, steps)
    soft = np.sign(v) * np.maximum(np.abs(v) - 0.2 * steps, 0)
    np.testing.assert_allclose(z, by_root(soft, 0.1 * np.sqrt(8) * steps), rtol=1e-10)


def test_others_say_that_a_group_has_one_step():
    for penalty in (Grouped(ElasticNet(0.1, 0.1)), GroupLInf(0.1)):
        with pytest.raises(ValueError, match=r"step of shape \(4, 6\) varies within the groups"):
            penalty.prox(jnp.ones((4, 6)), jnp.ones((4, 6)))


@pytest.mark.usefixtures("x64")
def test_steps_of_the_exclusive_lasso_may_differ_within_groups():
    rng = np.random.default_rng(0)
    v, steps = rng.normal(size=8), rng.uniform(0.1, 2, size=8)
    z = np.asarray(ExclusiveLasso(0.3, groups=blocks(8)).prox(v, steps))
    expected = np.sign(v) * np.maximum(np.abs(v) - 2 * 0.3 * steps * np.abs(z).sum(), 0)
    np.testing.assert_allclose(z, expected, atol=1e-14)
    assert 0 < np.count_nonzero(z) < 8


def test_no_step_is_so_long_that_the_exclusive_lasso_leaves_weights_as_they_are():
    for step in (1e7, 1e8, 1e30):
        for axis in (0, -1):
            z = ExclusiveLasso(1.0, axis=axis).prox(jnp.array([[3.0, 0.5], [-1.0, 0.0]]), step)
            np.testing.assert_allclose(z, 0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("penalty", [GroupLasso, GroupLInf, ExclusiveLasso])
def test_derivatives_are_finite_differences(penalty):
    rng = np.random.default_rng(0)
    v, step = jnp.asarray(rng.normal(size=8)), jnp.asarray(rng.uniform(0.1, 2, size=8))

    def total(v, step, strength, weights):
        step = step[0] if penalty is GroupLInf else step
        z = penalty(strength, groups=labels(NAMES), weights=weights).prox(v, step)
        return jnp.sum(jnp.sin(z))

    check_grads(jax.jit(total), (v, step, jnp.asarray(0.2), jnp.array([0.5, 1.5])), 1, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_skglm_has_the_same_prox_of_groups():
    skglm = pytest.importorskip("skglm.penalties")
    rng = np.random.default_rng(0)
    v, weights = rng.normal(size=8), np.array([0.7, 1.3])
    at = [np.flatnonzero(name == NAMES).astype(np.int32) for name in (0, 1)]
    theirs = skglm.WeightedGroupL2(
        0.5, weights, np.array([0, 4, 8], np.int32), np.concatenate(at).astype(np.int32)
    )
    ours = GroupLasso(0.5, groups=labels(NAMES), weights=weights)
    np.testing.assert_allclose(ours(v), theirs.value(v), rtol=1e-13)
    z = ours.prox(v, 0.9)
    for i in (0, 1):
        np.testing.assert_allclose(z[at[i]], theirs.prox_1group(v[at[i]], 0.9, i), atol=1e-13)
