"""penalized around every kind of optimizer, in every kind of training loop, for every kind of params."""

import functools
import os
import subprocess
import sys

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx
from flax.training.train_state import TrainState

from penalties import (
    L1,
    L2,
    ElasticNet,
    GroupLasso,
    Penalty,
    keep_zeros,
    optimality,
    penalized,
)

import problems
from cases import random_params
from problems import lenient
from strict import STRICT

KERNELS = L1(0.1).on("*/kernel")


def assert_equal(a, b):
    """Bit for bit, NaN for NaN."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def assert_close(a, b, rtol=1e-5, atol=1e-6):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol, atol), a, b)


def target_loss(params):
    """½‖w − target‖², with targets below and above a strength of 0.1: solved by soft(target, 0.1)."""
    return 0.5 * sum(
        jnp.sum((w - t) ** 2) for w, t in zip(*map(jax.tree.leaves, (params, TARGETS)), strict=True)
    )


TARGETS = jax.tree.map(
    lambda w: jnp.where(jnp.arange(w.size).reshape(w.shape) % 2 == 0, 0.05, jnp.sign(w) * 0.5),
    random_params(),
)


def stepper(optimizer, loss=target_loss):
    """One compiled training step: (params, state) to (params, state)."""

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        with jax.numpy_dtype_promotion("standard"):
            return optax.apply_updates(params, updates), state

    return step


def train(optimizer, params, steps, loss=target_loss):
    step, state = stepper(optimizer, loss), optimizer.init(params)
    for _ in range(steps):
        params, state = step(params, state)
    return params, state


def updates_of(optimizer, params, gradients):
    """The updates that a sequence of gradients gives, params moving along."""
    state, found = optimizer.init(params), []
    for grads in gradients:
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        found.append(updates)
    return found


def zero_count(tree):
    return sum(int(jnp.sum(w == 0)) for w in jax.tree.leaves(tree))


# What the inner optimizer is fed, and what is left alone.

INNER = {
    "sgd": optax.sgd(0.1),
    "momentum": optax.sgd(0.1, 0.9, nesterov=True),
    "adam": optax.adam(0.1),
    "adamw": optax.adamw(0.1, weight_decay=0.3),
    "rmsprop": optax.rmsprop(0.1),
    "lion": optax.lion(0.01),
    "adafactor": optax.adafactor(0.1),
    "lamb": optax.lamb(0.1),
    "yogi": optax.yogi(0.1),
}


@pytest.mark.parametrize("inner", INNER.values(), ids=INNER)
def test_unselected_leaves_get_the_update_of_the_optimizer_bit_for_bit(inner):
    params, gradients = random_params(0), [random_params(seed) for seed in (1, 2, 3)]
    ours = updates_of(penalized(lenient(inner), KERNELS), params, gradients)
    plain = updates_of(lenient(inner), params, gradients)
    for mine, theirs in zip(ours, plain, strict=True):
        np.testing.assert_array_equal(mine["dense"]["bias"], theirs["dense"]["bias"])
    assert np.any(ours[-1]["dense"]["kernel"] != plain[-1]["dense"]["kernel"])


CHAINS = {
    "clipping by the global norm": optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.01)),
    "clipping each value": optax.chain(optax.clip(0.2), optax.sgd(0.01)),
    "decayed weights": optax.chain(optax.add_decayed_weights(0.1), optax.adam(0.01)),
    "centralized gradients": optax.chain(optax.centralize(), optax.sgd(0.01)),
    "a schedule": optax.adam(optax.linear_schedule(0.01, 0.001, 5)),
    "injected hyperparameters": optax.inject_hyperparams(optax.adam)(0.01),
    "accumulation": optax.MultiSteps(optax.adam(0.01), 2),
    "a guard against NaN": optax.apply_if_finite(optax.adam(0.01), 3),
}


@pytest.mark.parametrize("inner", CHAINS.values(), ids=CHAINS)
def test_away_from_kinks_it_is_the_optimizer_on_loss_plus_penalty(inner):
    params = jax.tree.map(lambda w: w + 3 * jnp.sign(w), random_params())  # too far to reach zero
    penalty = ElasticNet(0.1, 0.2)
    ours, _ = train(penalized(lenient(inner), penalty), params, 4)
    theirs, _ = train(lenient(inner), params, 4, lambda p: target_loss(p) + penalty(p))
    assert_close(ours, theirs)
    assert np.max(np.abs(ours["dense"]["kernel"] - params["dense"]["kernel"])) > 0


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "rmsprop", "lion"])
@pytest.mark.parametrize("make", [L1, lambda s: ElasticNet(s, 0.0)], ids=["L1", "ElasticNet"])
def test_weights_of_strength_zero_get_the_update_of_the_optimizer_bit_for_bit(name, make):
    rng = np.random.default_rng(0)
    params = {"w": jnp.asarray(rng.normal(size=20) * (rng.random(20) < 0.5), jnp.float32)}
    free = np.arange(20) % 4 < 2
    gradients = [{"w": jnp.asarray(rng.normal(size=20), jnp.float32)} for _ in range(6)]
    penalty = make(np.where(free, 0, 0.3).astype(np.float32))
    ours = updates_of(penalized(lenient(INNER[name]), penalty), params, gradients)
    plain = updates_of(lenient(INNER[name]), params, gradients)
    for mine, theirs in zip(ours, plain, strict=True):
        np.testing.assert_array_equal(mine["w"][free], theirs["w"][free])
    assert np.any(ours[-1]["w"][~free] != plain[-1]["w"][~free])


def test_groups_of_strength_zero_get_the_update_of_the_optimizer_bit_for_bit():
    rng = np.random.default_rng(0)
    params = jnp.asarray(rng.normal(size=(3, 4)) * np.array([1, 1, 0, 0]), jnp.float32)
    gradients = [jnp.asarray(rng.normal(size=(3, 4)), jnp.float32) for _ in range(6)]
    penalty = GroupLasso(np.array([[0.0, 0.5, 0.0, 0.5]], np.float32))
    ours = updates_of(penalized(lenient(optax.adam(0.3)), penalty), params, gradients)
    plain = updates_of(lenient(optax.adam(0.3)), params, gradients)
    for mine, theirs in zip(ours, plain, strict=True):
        np.testing.assert_array_equal(mine[:, ::2], theirs[:, ::2])


@pytest.mark.parametrize(
    "penalty", [L1(0.0), ElasticNet(0.0, 0.0), GroupLasso(0.0), L1(0.0) + GroupLasso(0.0)]
)
def test_strength_zero_is_the_optimizer_itself(penalty):
    params = jax.tree.map(jax.nn.relu, random_params(0))
    gradients = [random_params(seed) for seed in (1, 2, 3)]
    ours = updates_of(penalized(lenient(INNER["adam"]), penalty), params, gradients)
    for mine, theirs in zip(ours, updates_of(lenient(INNER["adam"]), params, gradients), strict=True):
        assert_equal(mine, theirs)


def test_a_frozen_weight_is_not_moved():
    labels = {"dense": "train", "scan": "freeze"}
    inner = optax.partition({"train": optax.adam(0.1), "freeze": optax.set_to_zero()}, labels)
    params = random_params()
    trained, _ = train(penalized(lenient(inner), L1(0.1) + GroupLasso(0.1)), params, 5)
    assert_equal(trained["scan"], params["scan"])
    assert np.all(trained["dense"]["kernel"] != params["dense"]["kernel"])


# Penalties of every kind.


def soft(x, threshold):
    return np.sign(x) * np.maximum(np.abs(x) - threshold, 0)


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
@pytest.mark.parametrize("optimizer", [optax.sgd(0.3), optax.adam(optax.cosine_decay_schedule(0.05, 400))])
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


@pytest.mark.parametrize("optimizer", ["momentum", "adam", "lion"])
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


class Quartic(Penalty):
    """Has a value, and no rule for zeros."""

    strength: float

    def value_at(self, w):
        return jnp.sum(self.strength * w**4)

    def prox_at(self, v, step):
        raise NotImplementedError


@pytest.mark.parametrize("penalty", [Quartic(0.1), L1(0.1) + Quartic(0.1), (2 * Quartic(0.1)).on("*/kernel")])
def test_a_penalty_without_a_rule_for_zeros_is_refused_at_once(penalty):
    with pytest.raises(
        TypeError, match=r"Quartic has no .*: use `penalties\.proximal\(penalty, step_size\)`"
    ):
        penalized(optax.sgd(0.1), penalty)


def test_a_schedule_of_penalties_without_a_rule_for_zeros_is_refused_when_the_state_is_made():
    with pytest.raises(TypeError, match=r"Quartic has no .*proximal"):
        penalized(optax.sgd(0.1), lambda count: Quartic(0.1)).init(random_params())


@pytest.mark.parametrize("decay", [-0.1, 1.0, 1.5, float("nan")])
def test_a_decay_that_is_none_is_refused(decay):
    with pytest.raises(ValueError, match=r"decay is .*: expected a number in \[0, 1\)"):
        penalized(optax.sgd(0.1), L1(0.1), decay=decay)


@pytest.mark.parametrize("stored", [jnp.float16, jnp.bfloat16, None])
def test_one_huge_gradient_does_not_stay_in_the_average(stored):
    optimizer = penalized(optax.sgd(0.1), L1(1.0), accumulator_dtype=stored)
    w = jnp.zeros(2)
    state = optimizer.init(w)
    for gradient in (1e38, -3e38, 3e38, *[0.5] * 2000):
        _, state = optimizer.update(jnp.array([gradient, 0.5]), state, w)
    assert np.all(np.isfinite(state.average.astype(np.float32)))
    assert abs(state.average[1] - 0.5) < 0.01


def test_an_average_that_cannot_be_kept_is_refused():
    for decay in (np.array([0.9, 0.99]), jnp.array([0.9])):
        with pytest.raises(TypeError, match=r"decay is .*: expected a number"):
            penalized(optax.sgd(0.1), L1(0.1), decay=decay)
    for dtype in ("bananas", jnp.float8_e4m3fn):
        with pytest.raises(TypeError, match=r"accumulator_dtype is .*: expected a floating dtype of 16 bits"):
            penalized(optax.sgd(0.1), L1(0.1), accumulator_dtype=dtype)
    with pytest.raises(TypeError, match=r"decay is '0\.9' of type str: expected a number"):
        penalized(optax.sgd(0.1), L1(0.1), decay="0.9")
    with pytest.raises(TypeError, match=r"accumulator_dtype is .*: expected a floating dtype"):
        penalized(optax.sgd(0.1), L1(0.1), accumulator_dtype=jnp.int32)


# Strengths that change.


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
    traces = []

    def loss(params):
        traces.append(None)
        return target_loss(params)

    step = stepper(optimizer, loss)
    step(params, state)
    state = optax.tree.set(state, penalty=L1(10.0))
    for _ in range(60):
        params, state = step(params, state)
    assert len(traces) == 1
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


# The state.


def test_the_state_is_a_named_tuple():
    state = penalized(optax.adam(0.1), KERNELS).init(random_params())
    assert state._fields == ("inner_state", "penalty", "given", "average", "penalty_step", "watched")
    assert state.watched is None
    assert jax.tree.structure(state.inner_state) == jax.tree.structure(optax.adam(0.1).init(random_params()))
    assert state.penalty == jax.tree.map(jnp.array, KERNELS)
    assert state.penalty_step.dtype == jnp.int32
    _, after = train(penalized(lenient(optax.adam(0.1)), KERNELS), random_params(), 3)
    assert int(after.penalty_step) == 3
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert [x.dtype for x in jax.tree.leaves(after)] == [x.dtype for x in jax.tree.leaves(state)]


def test_only_leaves_with_kinks_have_an_average():
    params, nothing = random_params(), optax.MaskedNode()
    average = penalized(optax.sgd(0.1), KERNELS + L2(0.1).on("*/bias")).init(params).average
    assert average["dense"]["bias"] == nothing
    assert average["dense"]["kernel"].shape == (3, 2)
    assert average["scan"]["kernel"].shape == (2, 3, 2)
    assert jax.tree.leaves(penalized(optax.sgd(0.1), L2(0.1)).init(params).average) == []
    assert jax.tree.leaves(penalized(optax.sgd(0.1), L2(0.1) + L2(0.2)).init(params).average) == []


def test_l2_alone_is_l2_in_the_loss():
    ours, _ = train(penalized(lenient(optax.adam(0.05)), L2(0.2)), random_params(), 6)
    reference, _ = train(lenient(optax.adam(0.05)), random_params(), 6, lambda p: target_loss(p) + L2(0.2)(p))
    assert_close(ours, reference)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99, 0.9999])
def test_the_average_is_the_bias_corrected_exponential_one(decay):
    gradients = np.random.default_rng(0).normal(size=(7, 5))
    optimizer = penalized(optax.sgd(0.1), L1(0.1), decay=decay)
    params = jnp.ones(5)
    state = optimizer.init(params)
    for t, gradient in enumerate(gradients, 1):
        _, state = optimizer.update(jnp.asarray(gradient, jnp.float32), state, params)
        weights = (1 - decay) * decay ** np.arange(t - 1, -1, -1.0)
        expected = weights @ gradients[:t] / weights.sum()
        np.testing.assert_allclose(state.average, expected, rtol=2e-5, atol=1e-6)


def test_at_zero_the_average_decides_and_not_the_gradient():
    optimizer = penalized(optax.sgd(1.0), L1(1.0), decay=0.5)
    params, state = jnp.zeros(2), None
    state = optimizer.init(params)
    found = []
    for gradient in ([0.0, 0.0], [1.9, 4.0], [-1.9, -0.5]):
        updates, state = optimizer.update(jnp.array(gradient), state, params)
        found.append(updates.tolist())
    # Averages (bias-corrected): [0, 0]; [1.9, 4]·(2/3); the first stays below the strength throughout.
    assert found[0] == [0.0, 0.0]
    assert found[1][0] == pytest.approx(-(1.9 * 2 / 3 - 1))
    assert found[1][1] == pytest.approx(-(4 * 2 / 3 - 1))
    average = (-0.5 * 4 + 4.0 * 2) / 7
    assert abs(average) < 1
    assert found[2][1] == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_leaves_the_average_bit_for_bit(bad):
    optimizer = penalized(optax.sgd(0.1), KERNELS)
    params, good = random_params(0), random_params(1)
    state = optimizer.init(params)
    for seed in (2, 3):
        _, state = optimizer.update(random_params(seed), state, params)
    spoiled = jax.tree.map(jnp.array, good)
    spoiled["dense"]["kernel"] = spoiled["dense"]["kernel"].at[1, 1].set(bad)
    _, clean = optimizer.update(good, state, params)
    _, after = optimizer.update(spoiled, state, params)
    expected = jax.tree.map(jnp.array, clean.average)
    before = state.average["dense"]["kernel"][1, 1]
    expected["dense"]["kernel"] = expected["dense"]["kernel"].at[1, 1].set(before)
    assert_equal(after.average, expected)
    assert before != clean.average["dense"]["kernel"][1, 1]


def test_a_gradient_that_is_not_finite_is_seen_by_the_optimizer():
    seen = []

    def look(updates, params):
        seen.append(updates)
        return updates

    optimizer = penalized(optax.stateless(look), L1(0.1))
    params = jnp.array([0.0, 0.0, 1.0, 1.0])
    optimizer.update(jnp.array([jnp.nan, 0.5, jnp.inf, 0.5]), optimizer.init(params), params)
    assert not np.any(np.isfinite(seen[0][jnp.array([0, 2])]))
    assert np.all(np.isfinite(seen[0][jnp.array([1, 3])]))


@pytest.mark.parametrize("place", ["inside", "outside"])
@pytest.mark.parametrize("penalty", [KERNELS, GroupLasso(0.1).on("*/kernel")])
def test_apply_if_finite_skips_the_step_and_training_goes_on(place, penalty):
    def build(optimizer, penalty):
        if place == "inside":
            return penalized(lenient(optax.apply_if_finite(optimizer, 5)), penalty)
        return lenient(optax.apply_if_finite(penalized(lenient(optimizer), penalty), 5))

    optimizer = build(optax.adam(0.05), penalty)
    params, state = train(optimizer, random_params(), 5)
    params["dense"]["kernel"] = params["dense"]["kernel"].at[:, 0].set(0.0)
    grads = jax.grad(target_loss)(params)
    grads["dense"]["kernel"] = grads["dense"]["kernel"].at[0, 0].set(jnp.nan).at[1, 1].set(jnp.inf)
    updates, state = optimizer.update(grads, state, params)
    assert_equal(optax.apply_updates(params, updates), params)
    assert int(optax.tree.get(state, "notfinite_count")) == 1
    average = optax.tree.get(state, "average")
    assert np.all(np.isfinite(average["dense"]["kernel"]))
    step = stepper(optimizer)
    for _ in range(5):
        params, state = step(params, state)
    assert all(np.all(np.isfinite(w)) for w in jax.tree.leaves(params))
    assert int(optax.tree.get(state, "notfinite_count")) == 0


# Dtypes.


@pytest.mark.parametrize("grads_dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_narrow_params_keep_their_dtype_and_get_exact_zeros(dtype, grads_dtype):
    params = random_params(0, dtype)
    optimizer = penalized(lenient(optax.sgd(0.25)), KERNELS)

    @jax.jit
    def step(params, state):
        targets = jax.tree.map(lambda t: t.astype(dtype), TARGETS)
        grads = jax.tree.map(lambda w, t: (w - t).astype(grads_dtype), params, targets)
        updates, state = optimizer.update(grads, state, params)
        with jax.numpy_dtype_promotion("standard"):
            return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    assert {x.dtype for x in jax.tree.leaves(state.average)} == {jnp.dtype(jnp.float32)}
    for _ in range(40):
        params, state = step(params, state)
    assert {w.dtype for w in jax.tree.leaves(params)} == {jnp.dtype(dtype)}
    kernel, target = params["dense"]["kernel"], TARGETS["dense"]["kernel"]
    np.testing.assert_array_equal(kernel == 0, np.abs(target) < 0.1)
    np.testing.assert_allclose(kernel.astype(np.float32), soft(target, 0.1), rtol=0.03)


@pytest.mark.parametrize("stored", [jnp.bfloat16, "float16", None])
def test_the_average_is_stored_in_the_accumulator_dtype(stored):
    inner = optax.sgd(0.2)
    params, state = train(penalized(inner, L1(0.1), accumulator_dtype=stored), random_params(), 400)
    assert {x.dtype for x in jax.tree.leaves(state.average)} == {jnp.dtype(stored or jnp.float32)}
    assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}
    reference, _ = train(penalized(inner, L1(0.1)), random_params(), 400)
    for mine, theirs in zip(jax.tree.leaves(params), jax.tree.leaves(reference), strict=True):
        np.testing.assert_array_equal(mine == 0, theirs == 0)
    assert zero_count(params) > 0


def test_a_narrow_average_is_computed_in_float32():
    # 0.3 and 0.30078125 are neighbours in bfloat16 no further apart than the rounding of one.
    optimizer = penalized(optax.sgd(0.1), L1(0.1), accumulator_dtype=jnp.bfloat16)
    params, state = jnp.ones(3), None
    state = optimizer.init(params)
    for _ in range(50):
        _, state = optimizer.update(jnp.array([0.3, -1.7, 1e-3]), state, params)
    np.testing.assert_allclose(state.average.astype(np.float32), [0.3, -1.7, 1e-3], rtol=2**-8)


def test_float64_params_have_a_float64_average(x64):
    params = {"a": jnp.ones(2, jnp.float64), "b": jnp.ones(2, jnp.float32)}
    average = penalized(optax.sgd(0.1), L1(0.1)).init(params).average
    assert average["a"].dtype == jnp.float64
    assert average["b"].dtype == jnp.float32


# Training loops.


def test_a_scan_is_a_loop():
    optimizer = penalized(lenient(optax.adam(0.05)), KERNELS)
    params = random_params()
    step = stepper(optimizer)
    start = (params, optimizer.init(params))
    scanned, state = jax.jit(lambda c: jax.lax.scan(lambda c, _: (step(*c), None), c, length=30)[0])(start)
    looped, looped_state = train(optimizer, params, 30)
    assert_close(scanned, looped)
    assert_close(state, looped_state)


def test_params_and_state_can_be_donated():
    optimizer = penalized(lenient(optax.adam(0.05)), KERNELS)
    params = random_params()
    expected, _ = train(optimizer, params, 4)
    state = optimizer.init(params)
    step = jax.jit(stepper(optimizer), donate_argnums=(0, 1))
    for _ in range(4):
        before = params, state
        params, state = jax.block_until_ready(step(params, state))  # a warning, if some could not be used
        assert all(x.is_deleted() for x in jax.tree.leaves(before))
    assert_close(params, expected)
    jax.block_until_ready(optimizer.init(params))  # the penalty it was built with is still there


def test_a_checkpoint_continues_bit_for_bit(tmp_path):
    penalty = KERNELS + ElasticNet(0.05, 0.1).on("*/bias")
    optimizer = penalized(lenient(optax.adam(0.05)), penalty, accumulator_dtype=jnp.bfloat16)
    params, state = train(optimizer, random_params(), 10)
    state = optax.tree.set(state, penalty=0.5 * penalty)
    step = stepper(optimizer)
    params, state = step(params, state)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "step", {"params": params, "state": state})
        checkpointer.wait_until_finished()
        fresh = random_params(7)
        like = {"params": fresh, "state": optimizer.init(fresh)}
        restored = checkpointer.restore(
            tmp_path / "step", jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        )
    assert_equal(restored, {"params": params, "state": state})
    again = restored["params"], restored["state"]
    for _ in range(5):
        params, state = step(params, state)
        again = step(*again)
    assert_equal(again, (params, state))


def test_flax_train_state_trains_to_exact_zeros():
    optimizer = penalized(lenient(optax.adam(0.05)), KERNELS)
    state = TrainState.create(apply_fn=lambda p: p, params=random_params(), tx=optimizer)

    @jax.jit
    def step(state):
        return state.apply_gradients(grads=jax.grad(target_loss)(state.params))

    for _ in range(12):
        state = step(state)
    params, inner = train(optimizer, random_params(), 12)
    assert_close(state.params, params)
    assert int(state.opt_state.penalty_step) == int(inner.penalty_step) == 12


def regression():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(40, 4)), jnp.float32)
    return x, x[:, :1] * 2.0 + 0.5


def test_nnx_optimizer_trains_to_exact_zeros():
    x, y = regression()
    model = nnx.Linear(4, 1, rngs=nnx.Rngs(0))
    transform = penalized(lenient(optax.adam(optax.cosine_decay_schedule(0.1, 300))), L1(0.2).on("**/kernel"))
    optimizer = nnx.Optimizer(model, transform, wrt=nnx.Param)
    start = nnx.to_pure_dict(nnx.state(model, nnx.Param))

    @nnx.jit
    def step(model, optimizer):
        grads = nnx.grad(lambda m: jnp.mean((m(x) - y) ** 2))(model)
        optimizer.update(model, grads)

    for _ in range(300):
        step(model, optimizer)
    kernel = model.kernel[...]
    assert np.all(kernel[1:] == 0)
    assert kernel[0, 0] == pytest.approx(1.9, abs=0.05)
    assert model.bias[0] != 0

    def loss(p):
        return jnp.mean((x @ p["kernel"] + p["bias"][None] - y) ** 2)

    plain, _ = train(transform, start, 300, loss)
    assert_close(nnx.to_pure_dict(nnx.state(model, nnx.Param)), plain, rtol=1e-4, atol=1e-4)


def test_equinox_modules_train_to_exact_zeros():
    x, y = regression()
    model = eqx.nn.MLP(4, 1, 3, 1, key=jax.random.key(0), activation=jax.nn.tanh)
    schedule = optax.cosine_decay_schedule(0.02, 400)
    optimizer = penalized(lenient(optax.adam(schedule)), L1(0.1).on("**/weight"))
    state = optimizer.init(eqx.filter(model, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(model, state):
        grads = eqx.filter_grad(lambda m: jnp.mean((jax.vmap(m)(x) - y) ** 2))(model)
        updates, state = optimizer.update(grads, state, eqx.filter(model, eqx.is_inexact_array))
        return eqx.apply_updates(model, updates), state

    for _ in range(400):
        model, state = step(model, state)
    assert np.all(model.layers[0].weight[:, 1:] == 0)
    assert np.any(model.layers[0].weight[:, 0] != 0)
    assert np.all(model.layers[0].bias != 0)
    assert callable(model.activation)


def test_linen_params_in_partitioned_boxes_train_as_without():
    x, y = regression()
    boxed = nn.with_partitioning(nn.initializers.lecun_normal(), (None, "model"))
    module = nn.Dense(1, kernel_init=boxed)
    params = module.init(jax.random.key(0), x)["params"]
    optimizer = penalized(lenient(optax.adam(0.1)), L1(0.2).on("kernel"))

    def loss(params):
        return jnp.mean((module.apply({"params": params}, x) - y) ** 2)

    trained, state = train(optimizer, params, 100, loss)
    assert isinstance(trained["kernel"], nn.Partitioned)
    assert isinstance(state.average["kernel"], nn.Partitioned)
    assert_close(nn.unbox(trained), train(optimizer, nn.unbox(params), 100, loss)[0])
    assert np.any(trained["kernel"].value == 0)


# Inside and around optax's own wrappers.


def test_masked_leaves_outside_are_left_alone():
    mask = {"dense": {"kernel": True, "bias": False}, "scan": False}
    params, gradients = random_params(0), [random_params(1), random_params(2)]
    ours = updates_of(optax.masked(penalized(lenient(optax.sgd(0.1, 0.9)), L1(0.1)), mask), params, gradients)
    selected = penalized(lenient(optax.sgd(0.1, 0.9)), L1(0.1).on("dense/kernel"))
    alone = updates_of(selected, params, gradients)
    for mine, expected, grads in zip(ours, alone, gradients, strict=True):
        assert_equal(mine["dense"]["kernel"], expected["dense"]["kernel"])
        assert_equal(mine["scan"], grads["scan"])


def test_a_mask_inside_is_the_optimizers_own_affair():
    mask = {"dense": {"kernel": True, "bias": False}, "scan": False}
    inner = optax.chain(optax.masked(optax.trace(0.9), mask), optax.sgd(0.1))
    params, gradients = random_params(0), [random_params(1), random_params(2)]
    ours = updates_of(penalized(lenient(inner), L1(0.05).on("dense/kernel")), params, gradients)
    plain = updates_of(lenient(inner), params, gradients)
    for mine, theirs in zip(ours, plain, strict=True):
        assert_equal((mine["scan"], mine["dense"]["bias"]), (theirs["scan"], theirs["dense"]["bias"]))


LABELS = {"dense": {"kernel": "sparse", "bias": "plain"}, "scan": {"kernel": "grouped"}}


def test_partition_may_hold_an_optimizer_and_a_penalty_for_each_label():
    each = {
        "sparse": penalized(lenient(optax.adam(0.05)), L1(0.1)),
        "grouped": penalized(lenient(optax.sgd(0.2, 0.9)), GroupLasso(0.05)),
        "plain": optax.sgd(0.1),
    }
    params = random_params()
    together, state = train(lenient(optax.partition(each, LABELS)), params, 25)
    for label, (owner, name) in {"sparse": ("dense", "kernel"), "grouped": ("scan", "kernel")}.items():
        sub = {name: params[owner][name]}

        def loss(p, owner=owner, name=name):
            return 0.5 * jnp.sum((p[name] - TARGETS[owner][name]) ** 2)

        alone, _ = train(each[label], sub, 25, loss)
        assert_close(together[owner][name], alone[name])
    assert np.any(together["dense"]["kernel"] == 0)
    assert len(optax.tree.get_all_with_path(state, "penalty")) == 2


def test_partition_inside_feeds_each_optimizer_its_leaves():
    inner = {"sparse": optax.adam(0.05), "grouped": optax.sgd(0.2, 0.9), "plain": optax.sgd(0.1)}
    penalty = L1(0.1).on("dense/kernel") + GroupLasso(0.05).on("scan/kernel")
    params = random_params()
    inside, _ = train(penalized(lenient(optax.partition(inner, LABELS)), penalty), params, 25)
    each = inner | {
        "sparse": penalized(lenient(inner["sparse"]), L1(0.1)),
        "grouped": penalized(lenient(inner["grouped"]), GroupLasso(0.05)),
    }
    outside, _ = train(lenient(optax.partition(each, LABELS)), params, 25)
    assert_close(inside, outside)


def test_accumulation_outside_steps_with_the_mean_gradient():
    params, gradients = random_params(0), [random_params(seed) for seed in (1, 2, 3, 4)]
    optimizer = penalized(lenient(optax.adam(0.1)), KERNELS)
    accumulated = updates_of(
        lenient(optax.MultiSteps(optimizer, 2).gradient_transformation()), params, gradients
    )
    means = [jax.tree.map(lambda a, b: (a + b) / 2, *gradients[i : i + 2]) for i in (0, 2)]
    expected = updates_of(optimizer, params, means)
    assert all(np.all(u == 0) for i in (0, 2) for u in jax.tree.leaves(accumulated[i]))
    assert_close(accumulated[1], expected[0])
    assert_close(accumulated[3], expected[1])


def test_accumulation_inside_moves_nothing_between_its_steps():
    params, gradients = random_params(0), [random_params(seed) for seed in (1, 2, 3, 4)]
    params["dense"]["kernel"] = params["dense"]["kernel"].at[0].set(0.0)
    inner = optax.MultiSteps(optax.sgd(0.5), 2).gradient_transformation()
    found = updates_of(penalized(lenient(inner), KERNELS), params, gradients)
    assert all(np.all(u == 0) for i in (0, 2) for u in jax.tree.leaves(found[i]))
    assert all(np.any(u != 0) for i in (1, 3) for u in jax.tree.leaves(found[i]))
    bias = -0.5 * (gradients[0]["dense"]["bias"] + gradients[1]["dense"]["bias"]) / 2
    np.testing.assert_allclose(found[1]["dense"]["bias"], bias, rtol=1e-6)


def test_the_learning_rate_inside_can_be_read_and_changed():
    optimizer = penalized(lenient(optax.inject_hyperparams(optax.sgd)(learning_rate=0.1)), KERNELS)
    params, grads = random_params(0), random_params(1)
    update = jax.jit(optimizer.update)
    state = optimizer.init(params)
    assert float(optax.tree.get(state, "learning_rate")) == np.float32(0.1)
    slow, _ = update(grads, state, params)
    fast, after = update(grads, optax.tree.set(state, learning_rate=jnp.float32(0.2)), params)
    assert update._cache_size() == 1
    assert float(optax.tree.get(after, "learning_rate")) == np.float32(0.2)
    np.testing.assert_allclose(fast["dense"]["bias"], 2 * slow["dense"]["bias"], rtol=1e-6)


def test_hyperparameters_of_the_whole_can_be_injected():
    @optax.inject_hyperparams
    def build(learning_rate, strength):
        return penalized(optax.sgd(learning_rate), L1(strength))

    optimizer = lenient(build(learning_rate=0.25, strength=0.1))
    params, _ = train(optimizer, random_params(), 60)
    assert_close(params, train(penalized(optax.sgd(0.25), L1(0.1)), random_params(), 60)[0])
    assert zero_count(params) > 0


def test_lookahead_around_it_trains_the_fast_params_as_without_in_between():
    optimizer = penalized(lenient(optax.adam(0.05)), KERNELS)
    look = lenient(optax.lookahead(optimizer, sync_period=6, slow_step_size=0.5))
    params = optax.LookaheadParams.init_synced(random_params())
    state = look.init(params)

    @jax.jit
    def step(params, state):
        updates, state = look.update(jax.grad(target_loss)(params.fast), state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(5):
        params, state = step(params, state)
    assert_close(params.fast, train(optimizer, random_params(), 5)[0])
    assert_equal(params.slow, random_params())


# Diagnosis.


def test_optimality_is_zero_at_the_solution_and_positive_elsewhere():
    penalty = KERNELS
    target = {"dense": {"kernel": jnp.array([[0.5, -0.5], [0.05, 0.0]]), "bias": jnp.array([0.3])}}

    def grads(p):
        return jax.tree.map(jnp.subtract, p, target)

    solution = {"dense": {"kernel": jnp.array([[0.4, -0.4], [0.0, 0.0]]), "bias": jnp.array([0.3])}}
    at = optimality(penalty, solution, grads(solution))
    assert float(at.norm) < 1e-7
    assert set(at.leaves) == {"dense/kernel", "dense/bias"}
    assert all(float(x) < 1e-7 for x in at.leaves.values())
    for leaf, index in (("kernel", (0, 1)), ("kernel", (1, 0)), ("bias", (0,))):
        moved = jax.tree.map(jnp.array, solution)
        moved["dense"][leaf] = moved["dense"][leaf].at[index].add(0.01)
        off = optimality(penalty, moved, grads(moved))
        assert float(off.norm) == pytest.approx(float(off.leaves[f"dense/{leaf}"]), rel=1e-5)
        assert float(off.norm) > 0.009
        other = {"kernel": "bias", "bias": "kernel"}[leaf]
        assert float(off.leaves[f"dense/{other}"]) < 1e-7


def test_optimality_is_the_norm_of_the_least_subgradient():
    rng = np.random.default_rng(0)
    w, g = rng.normal(size=(2, 30)) * (rng.random((2, 30)) < 0.7)
    d = np.where(w == 0, soft(g, 0.3), g + 0.3 * np.sign(w))
    found = optimality(
        L1(0.3), {"a": jnp.float32(w), "b": jnp.ones(2)}, {"a": jnp.float32(g), "b": jnp.zeros(2)}
    )
    b = np.full(2, 0.3)
    assert float(found.leaves["a"]) == pytest.approx(np.linalg.norm(d), rel=1e-5)
    assert float(found.norm) == pytest.approx(np.sqrt(d @ d + b @ b), rel=1e-5)
    group = optimality(GroupLasso(0.3), jnp.zeros((4, 1)), jnp.full((4, 1), 0.5))
    assert float(group.norm) == pytest.approx(1 - 0.6, rel=1e-5)


def test_optimality_is_the_same_in_jit_and_falls_in_training():
    params = random_params()
    optimizer = penalized(optax.sgd(0.3), KERNELS)

    @jax.jit
    def step(params, state):
        grads = jax.grad(target_loss)(params)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, optimality(KERNELS, params, grads)

    state, start = optimizer.init(params), params
    params, state, first = step(params, state)
    assert_close(first, optimality(KERNELS, start, jax.grad(target_loss)(start)))
    for _ in range(60):
        params, state, last = step(params, state)
    assert float(last.norm) < 1e-3 * float(first.norm)


def test_optimality_is_refused_without_a_rule_for_zeros():
    with pytest.raises(TypeError, match="Quartic has no"):
        optimality(Quartic(0.1), random_params(), random_params())


def test_keep_zeros_is_the_average_with_the_zeros_of_the_iterate():
    averaged = {"a": jnp.array([1.0, 2.0, jnp.nan, 0.0], jnp.bfloat16), "b": jnp.array([3.0])}
    iterate = {"a": jnp.array([0.0, -0.0, 0.0, 5.0]), "b": jnp.array([1.0])}
    kept = jax.jit(keep_zeros)(averaged, iterate)
    assert kept["a"].dtype == jnp.bfloat16
    assert kept["a"].tolist() == [0.0, 0.0, 0.0, 0.0]
    assert kept["b"].tolist() == [3.0]


def test_an_average_of_params_gets_the_zeros_of_the_trained_ones():
    ema, optimizer = optax.ema(0.9), penalized(optax.sgd(0.3), KERNELS)
    params = random_params()
    state, ema_state, step = optimizer.init(params), ema.init(params), stepper(optimizer)
    for _ in range(40):
        params, state = step(params, state)
        averaged, ema_state = lenient(ema).update(params, ema_state)
    kept = keep_zeros(averaged, params)
    assert zero_count(averaged) < zero_count(kept) == zero_count(params)
    assert_equal(kept["dense"]["bias"], averaged["dense"]["bias"])


# Many devices.

SHARDED = """
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

from penalties import L1, ElasticNet, GroupLasso, penalized

assert len(jax.devices()) == 8
mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
SPECS = {"kernel": P(None, ("data", "model")), "deep": P("data", "model"), "bias": P("model")}
SHAPES = {"kernel": (4, 16), "deep": (8, 16), "bias": (16,)}
NAMES = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"
COLLECTIVE = rf"= .*\\b(?:{NAMES})(?:-start)?\\("


def put(seed):
    rng = np.random.default_rng(seed)
    host = {name: np.float32(rng.normal(size=shape)) for name, shape in SHAPES.items()}
    return jax.device_put(host, {name: NamedSharding(mesh, spec) for name, spec in SPECS.items()})


def collectives(optimizer, params, grads):
    state = jax.jit(optimizer.init)(params)

    def step(params, state, grads):
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(step).lower(params, state, grads).compile()
    return len(re.findall(COLLECTIVE, compiled.as_text())), compiled, state


params = jax.block_until_ready(put(0))
grads = jax.block_until_ready(put(1))
plain, _, _ = collectives(optax.adam(0.1), params, grads)
for name, penalty in {
    "L1": L1(0.3),
    "ElasticNet": ElasticNet(0.3, 0.1),
    "groups on one device": GroupLasso(1.0).on("kernel"),
}.items():
    found, step, state = collectives(penalized(optax.adam(0.1), penalty), params, grads)
    assert found == plain == 0, (name, found, plain)
    w = params
    for _ in range(8):
        w, state = jax.block_until_ready(step(w, state, grads))
    for key in SPECS:
        assert w[key].sharding.is_equivalent_to(params[key].sharding, w[key].ndim), (name, key)
    host = jax.tree.map(np.asarray, params), jax.tree.map(np.asarray, grads)
    optimizer = penalized(optax.adam(0.1), penalty)
    v, state = host[0], optimizer.init(host[0])
    update = jax.jit(optimizer.update)
    for _ in range(8):
        updates, state = jax.block_until_ready(update(host[1], state, v))
        v = jax.block_until_ready(optax.apply_updates(v, updates))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), w, v)
    assert sum(int((np.asarray(x) == 0).sum()) for x in jax.tree.leaves(w)) > 0, name
found, _, _ = collectives(penalized(optax.adam(0.1), GroupLasso(0.3).on("deep")), params, grads)
assert found > 0, "the pattern finds no collectives at all"
print("done")
"""


def test_sharded_training_adds_no_collectives():
    done = subprocess.run(
        [sys.executable, *STRICT, "-c", SHARDED],
        env=os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "done\n", done.stdout + done.stderr


def test_an_average_in_bfloat16_does_not_stall_short_of_the_gradient():
    # Each step moves it by 1 % of what is missing: rounded to the nearest, by nothing at all.
    target = jnp.array([0.9, 0.95, -0.97, 2.0])  # with strength 1 the first three are exactly 0

    def step(carry, _):
        w, state = carry
        updates, state = tx.update(w - target, state, w)
        return (optax.apply_updates(w, updates), state), None

    tx = penalized(lenient(optax.sgd(0.2)), L1(1.0), accumulator_dtype=jnp.bfloat16)
    w = jnp.full(4, -5.0)
    w, state = jax.jit(lambda c: jax.lax.scan(step, c, length=5_000)[0])((w, tx.init(w)))
    assert state.average.dtype == jnp.bfloat16
    np.testing.assert_allclose(w, [0.0, 0.0, 0.0, 1.0], atol=1e-6)


def test_optimality_passes_over_the_float0_gradients_of_integers():
    params = {"w": jnp.array([1.0, -2.0]), "steps": jnp.arange(2)}
    grads = jax.grad(lambda p: jnp.sum(p["w"] ** 2), allow_int=True)(params)
    found = optimality(L1(0.5), params, grads)
    assert list(found.leaves) == ["w"]
    np.testing.assert_allclose(found.norm, np.hypot(2.5, 4.5), rtol=1e-6)


def test_the_average_goes_on_when_the_count_has_reached_its_end():
    params = jnp.ones(2)
    optimizer = penalized(optax.sgd(0.1), L1(0.1), decay=0.99)
    state = optimizer.init(params)._replace(penalty_step=jnp.int32(2**31 - 1))
    _, state = optimizer.update(params, state, params)
    np.testing.assert_allclose(state.average, 0.01, rtol=1e-5)


def test_keep_zeros_leaves_what_is_no_weight_alone():
    iterate = {"w": jnp.zeros(2), "steps": jnp.arange(2), "key": jax.random.key(0), "activation": jnp.tanh}
    kept = keep_zeros(iterate | {"w": jnp.ones(2), "steps": jnp.arange(3, 5)}, iterate)
    assert kept["w"].tolist() == [0.0, 0.0]
    assert kept["steps"].tolist() == [3, 4]
    assert kept["key"] is iterate["key"]
    assert kept["activation"] is jnp.tanh


@pytest.mark.parametrize("wrong", [optax.adam, None, L1(0.1)])
def test_what_is_no_optimizer_is_named(wrong):
    with pytest.raises(TypeError, match="expected an optax optimizer"):
        penalized(wrong, L1(0.1))


def test_a_decay_that_is_1_in_float32_is_refused():
    with pytest.raises(ValueError, match="less than 1 in float32"):
        penalized(optax.sgd(0.1), L1(0.1), decay=1 - 1e-9)


def test_multi_steps_is_an_optimizer_though_of_another_type():
    optimizer = penalized(optax.MultiSteps(optax.sgd(0.5), 2), L1(0.1))
    params = jnp.array([1.0, 0.0])
    state = optimizer.init(params)
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(2):
            updates, state = optimizer.update(jnp.array([0.3, 0.05]), state, params)
    np.testing.assert_allclose(updates, [-0.2, 0.0], rtol=1e-6)


def test_a_leaf_that_had_no_kink_at_init_is_refused_and_not_judged_by_its_noise():
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    optimizer = penalized(optax.sgd(0.1), L1(0.1))
    state = optimizer.init({"a": params["a"]})
    with pytest.raises(ValueError, match="no average for the leaf 'b'"):
        optimizer.update(params, state, params)


def test_a_state_takes_no_penalty_that_is_built_otherwise():
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    optimizer = penalized(optax.sgd(0.1), L1(0.1).on("a"))
    for other in (L1(0.1).on("b"), L2(0.1).on("a"), L1(0.1)):
        state = optax.tree.set(optimizer.init(params), penalty=other)
        with pytest.raises(ValueError, match=r"was built with L1\(0\.1\)\.on\('a'\): set one"):
            optimizer.update(params, state, params)
