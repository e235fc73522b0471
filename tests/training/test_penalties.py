"""Penalties of every kind, and strengths that change, under `penalized`."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import L1, L2, ElasticNet, penalized

import problems
from cases import random_params
from loops import KERNELS, TARGETS, assert_close, soft, stepper, target_loss, train, zero_count
from problems import lenient

SOLVED = {
    "L1": (L1(0.1), lambda path, t: soft(t, 0.1)),
    "ElasticNet": (ElasticNet(0.1, 0.25), lambda path, t: soft(t, 0.1) / 1.5),
    "a sum": (L1(0.04) + L2(0.25) + L1(0.06), lambda path, t: soft(t, 0.1) / 1.5),
    "a multiple": (2 * L1(0.05), lambda path, t: soft(t, 0.1)),
    "selections": (KERNELS + L2(0.5).on("*/bias"), lambda path, t: t / 2 if "bias" in path else soft(t, 0.1)),
    "overlapping selections": (
        L1(0.06) + L1(0.04).on("dense/kernel"),
        lambda path, t: soft(t, 0.1 if path == "dense/kernel" else 0.06),
    ),
    "a tree of strengths": (
        L1({"dense": {"kernel": 0.1, "bias": 0.0}, "scan": 0.2}),
        lambda path, t: soft(t, {"dense/kernel": 0.1, "dense/bias": 0.0, "scan/kernel": 0.2}[path]),
    ),
    "a strength for each weight": (
        L1(np.array([[0.0, 0.1], [0.2, 0.0], [1.0, 0.3]])).on("dense/kernel"),
        lambda path, t: soft(t, [[0.0, 0.1], [0.2, 0.0], [1.0, 0.3]] if path == "dense/kernel" else 0.0),
    ),
}


@pytest.mark.parametrize("name", SOLVED)
@pytest.mark.parametrize(
    "optimizer",
    [
        pytest.param(optax.sgd(0.3), marks=pytest.mark.slow),
        optax.adam(optax.cosine_decay_schedule(0.05, 400)),
    ],
    ids=["sgd", "adam"],
)
def test_each_kind_of_penalty_is_solved_exactly(name, optimizer):
    penalty, solution = SOLVED[name]
    tx = penalized(lenient(optimizer), penalty)
    params = random_params()

    def step(carry, _):
        params, state = carry
        updates, state = tx.update(jax.grad(target_loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    found = jax.jit(lambda c: jax.lax.scan(step, c, length=400)[0][0])((params, tx.init(params)))
    for path, target in jax.tree_util.tree_leaves_with_path(TARGETS):
        path = "/".join(key.key for key in path)
        owner, leaf = path.split("/")
        expected = solution(path, np.asarray(target, np.float64))
        np.testing.assert_allclose(found[owner][leaf], expected, rtol=1e-4, atol=2e-5)
        np.testing.assert_array_equal(found[owner][leaf] == 0, expected == 0)


@pytest.mark.parametrize(
    "optimizer",
    ["adam", pytest.param("momentum", marks=pytest.mark.slow), pytest.param("lion", marks=pytest.mark.slow)],
)
def test_sparse_group_lasso_reaches_the_solution_weight_for_weight(optimizer, x64):
    problem = sparse_groups()
    found = problems.train(problem, problems.OPTIMIZERS[optimizer](problem.rate))
    assert np.all(problem.gap(found) <= 1e-9)
    np.testing.assert_array_equal(found == 0, problem.solutions == 0)


@functools.cache
def sparse_groups():
    problem = problems.sparse_grouped(100, 5, 12)
    groups = np.all(problem.solutions == 0, 1)
    assert 0.2 < np.mean(groups) < 0.9  # whole groups are zero,
    inside = np.sum(problem.solutions == 0) - 5 * np.sum(groups)
    assert inside > 5  # and so are single weights in others
    return problem


def test_a_function_of_the_step_count_is_a_schedule():
    def warm_up(count):
        return jnp.minimum(count.astype(jnp.float32) / 4, 1.0) * L1(0.4)

    params = random_params()
    scheduled, by_hand = penalized(optax.sgd(0.1), warm_up), penalized(optax.sgd(0.1), L1(0.0))
    step, step_by_hand = stepper(scheduled), stepper(by_hand)
    state, state_by_hand, expected = scheduled.init(params), by_hand.init(params), params
    for strength in [0.0, 0.1, 0.2, 0.3, 0.4, 0.4]:
        params, state = step(params, state)
        state_by_hand = optax.tree.set(state_by_hand, penalty=L1(strength))
        expected, state_by_hand = step_by_hand(expected, state_by_hand)
        assert float(state.penalty.strength) == pytest.approx(strength)
    assert_close(params, expected)
    assert step._cache_size() == 1


def test_a_strength_set_in_the_state_is_trained_with_from_then_on():
    optimizer = penalized(optax.sgd(0.3), L1(0.1))
    params, state = train(optimizer, random_params(), 60)
    sparse = zero_count(params)

    @chex.assert_max_traces(n=1)
    def loss(params):
        return target_loss(params)

    step = stepper(optimizer, loss)
    step(params, state)
    state = optax.tree.set(state, penalty=L1(10.0))
    for _ in range(60):
        params, state = step(params, state)
    assert 0 < sparse < zero_count(params) == sum(w.size for w in jax.tree.leaves(params))
    assert float(state.penalty.strength) == 10


def test_vmap_over_penalties_is_a_loop():
    def run(penalty):
        optimizer = penalized(lenient(optax.adam(0.05)), penalty)

        def step(carry, _):
            params, state = carry
            updates, state = optimizer.update(jax.grad(target_loss)(params), state, params)
            return (optax.apply_updates(params, updates), state), None

        params = random_params()
        return jax.lax.scan(step, (params, optimizer.init(params)), length=100)[0][0]

    strengths = jnp.array([0.0, 0.03, 0.1, 1.0])
    many = jax.jit(jax.vmap(run))(L1(strengths).on("*/kernel"))
    one = jax.jit(run)
    zeros = []
    for i, strength in enumerate(strengths):
        alone = one(L1(strength).on("*/kernel"))
        assert_close(jax.tree.map(lambda x, i=i: x[i], many), alone, rtol=1e-4, atol=1e-5)
        zeros.append(zero_count(alone))
    assert zeros == sorted(zeros)
    assert zeros[0] < zeros[-1]
