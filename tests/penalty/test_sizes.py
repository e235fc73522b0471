"""Penalties of sizes whose slope at zero is infinite: value and prox, of groups and ranks, and no rule."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import penalties.keras
from penalties import (
    L0,
    L1,
    L2,
    MCP,
    SCAD,
    ElasticNet,
    Grouped,
    Huber,
    LHalf,
    LogSum,
    LTwoThirds,
    NonNegative,
    PenaltyOfSizes,
    Rank,
    SettlingPenalty,
    SizePenalty,
    Spectral,
    add_penalty,
    from_config,
    optimality,
    penalized,
    proximal,
)

W = np.array([[3.0, 0.1, 0.5], [4.0, -0.1, 0.0]], np.float32)


class FourthRoot(PenaltyOfSizes):
    strength: float

    def value_of(self, r):
        zero = r == 0
        return jnp.where(zero, 0, self.strength * jnp.where(zero, 1, r) ** 0.25)

    def slope_of(self, r):
        return self.strength * 0.25 * r**-0.75


STEEP = [L0(1.0), LHalf(1.0), LTwoThirds(1.0), FourthRoot(1.0)]
WITHOUT_RULE = [
    *STEEP,
    *map(Grouped, STEEP),
    L0(1.0) + L1(1.0),
    L0(1.0).on("**/kernel"),
    2 * Grouped(L0(1.0)) + L2(1.0),
    L0(1.0).around(0.0),
]
WITH_RULE = [SCAD(1.0), Grouped(SCAD(1.0)), Grouped(ElasticNet(1.0, 1.0)).on("a"), LogSum(1.0, epsilon=1.0)]


@pytest.mark.parametrize("penalty", WITHOUT_RULE, ids=repr)
def test_what_has_no_rule_says_so(penalty):
    assert not isinstance(penalty, SettlingPenalty)
    assert not isinstance(penalty, SizePenalty)
    steps = [lambda: penalized(optax.sgd(0.1), penalty), lambda: penalty.subgradient(W, W)]
    for call in [*steps, lambda: optimality(penalty, W, W)]:
        with pytest.raises(TypeError, match="no `subgradient_at` and `settles_at`"):
            call()


@pytest.mark.parametrize("penalty", WITH_RULE, ids=repr)
def test_what_has_a_rule_says_so(penalty):
    assert isinstance(penalty, SettlingPenalty)
    penalized(optax.sgd(0.1), penalty)


@pytest.mark.parametrize("penalty", [*STEEP, Grouped(LHalf(1.0))], ids=repr)
def test_the_refusal_names_ways_out(penalty):
    for way_out in ("slope at zero is infinite", r"penalties\.proximal", "LogSum", "to_sparsity"):
        with pytest.raises(TypeError, match=way_out):
            penalized(optax.adam(0.1), penalty)


def test_keras_refuses_and_names_what_keras_has():
    keras = pytest.importorskip("keras")
    with pytest.raises(TypeError, match=r"LogSum.*ToSparsity"):
        penalties.keras.Penalized(keras.optimizers.Adam(0.1), LHalf(1.0))
    with pytest.raises(TypeError, match=r"the penalty L0\(1\.0\), whose gradient is 0.*LogSum"):
        penalties.keras.Regularizer(L0(1.0))
    with pytest.raises(TypeError, match=r"the constraint NonNegative\(\).*kernel_constraint"):
        penalties.keras.Regularizer(NonNegative() + L1(1.0))


@pytest.mark.parametrize("flat", [L0(1.0), Grouped(L0(1.0)), Rank(1.0), L0(1.0).around(0.0)], ids=repr)
def test_what_no_loss_feels_is_no_term_of_a_loss(flat):
    assert not np.any(jax.grad(flat)(jnp.asarray(W)))
    with pytest.raises(TypeError, match=r"add_penalty got the penalty .* whose gradient is 0"):
        add_penalty(L1(1.0) + flat)


@pytest.mark.parametrize("penalty", [Grouped(L0(0.5)), Grouped(LHalf(0.5)), Grouped(SCAD(0.5))], ids=repr)
def test_the_group_form_is_that_of_the_sizes(penalty):
    size = np.sqrt(np.mean(W**2, 0, keepdims=True))
    phi = penalty.penalty
    np.testing.assert_allclose(penalty(W), 2 * phi(size), rtol=1e-6)
    np.testing.assert_allclose(penalty.prox(W), W / size * phi.prox(size), rtol=1e-6)
    assert np.all(np.isfinite(jax.grad(penalty)(jnp.zeros_like(W))))
    with pytest.raises(TypeError, match="expected one penalty of sizes"):
        Grouped(phi + L1(1.0))


@pytest.mark.parametrize(
    "penalty", [Grouped(L0(0.5), axis=0), Grouped(MCP(0.5)), Spectral(LHalf(0.5))], ids=repr
)
def test_copies_and_configs_are_of_the_same_class(penalty):
    again = [from_config(penalty.to_config()), pickle.loads(pickle.dumps(penalty)), copy.deepcopy(penalty)]
    again += [jax.tree.map(lambda x: x, penalty), (2 * penalty) / 2]
    for twin in again:
        assert twin == penalty
        assert type(twin) is type(penalty)
        assert repr(twin) == repr(penalty)
    assert repr(penalty).startswith(("Grouped(penalty=", "Spectral(penalty="))
    assert penalty.to_config()["name"] == repr(penalty).split("(")[0]


def test_a_group_of_which_the_squares_underflow_is_not_moved_by_step_or_strength_zero():
    tiny = jnp.full((3, 2), 1e-30)
    np.testing.assert_array_equal(Grouped(LHalf(0.5)).prox(tiny, 0.0), tiny)
    np.testing.assert_array_equal(Grouped(L0(0.0)).prox(tiny), tiny)
    np.testing.assert_array_equal(Grouped(LHalf(0.5)).prox(tiny), 0)


@pytest.mark.parametrize("penalty", [Rank(0.5), Spectral(L0(0.5))], ids=repr)
def test_rank_counts_what_is_more_than_rounding(penalty):
    rng = np.random.default_rng(0)
    low = (rng.normal(size=(6, 2)) @ rng.normal(size=(2, 5))).astype(np.float32)
    assert penalty(low) == 1.0
    assert penalty(np.zeros((4, 3), np.float32)) == 0
    u, s, vh = np.linalg.svd(np.float64(low + 0.2 * rng.normal(size=(6, 5))), full_matrices=False)
    expected = (u * np.where(s > 1, s, 0)) @ vh  # Eckart and Young
    found = penalty.prox(((u * s) @ vh).astype(np.float32))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.linalg.matrix_rank(expected) == 2
    with pytest.raises(ValueError, match="makes no matrix"):
        penalty(np.ones(3, np.float32))


def test_a_steep_penalty_trains_by_proximal():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 12)).astype(np.float32)
    truth = np.zeros(12, np.float32)
    truth[:3] = [2.0, -1.5, 1.0]
    y = x @ truth + 0.05 * rng.normal(size=60).astype(np.float32)

    def step(carry, _):
        w, state = carry
        updates, state = optimizer.update(jax.grad(lambda w: jnp.mean((x @ w - y) ** 2))(w), state, w)
        return (optax.apply_updates(w, updates), state), None

    for penalty in STEEP[:3]:
        optimizer = optax.chain(optax.sgd(0.1), proximal((0.05 * penalty), 0.1))
        start = jnp.ones(12), optimizer.init(jnp.ones(12))
        (w, _), _ = jax.jit(lambda start: jax.lax.scan(step, start, length=500))(start)
        np.testing.assert_array_equal(np.asarray(w) != 0, truth != 0)
        np.testing.assert_allclose(w, truth, atol=0.1)


def test_second_derivatives_at_zero_where_there_is_no_kink():
    w = jnp.array([0.0, -0.0, 0.5, -3.0])
    found = jax.hessian(Huber(2.0))(w)
    np.testing.assert_array_equal(jnp.diag(found), [2, 2, 2, 0])
    np.testing.assert_array_equal(jax.grad(Huber(2.0))(w), [0, 0, 1, -2])
