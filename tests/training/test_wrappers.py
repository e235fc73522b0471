"""`penalized` inside and around optax's own wrappers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import L1, GroupLasso, penalized

from cases import random_params
from loops import (
    KERNELS,
    TARGETS,
    assert_close,
    assert_same,
    compiled,
    target_loss,
    train,
    updates_of,
    zero_count,
)
from problems import lenient


def test_masked_leaves_outside_are_left_alone():
    mask = {"dense": {"kernel": True, "bias": False}, "scan": False}
    params, gradients = random_params(0), [random_params(1), random_params(2)]
    ours = updates_of(optax.masked(penalized(lenient(optax.sgd(0.1, 0.9)), L1(0.1)), mask), params, gradients)
    selected = penalized(lenient(optax.sgd(0.1, 0.9)), L1(0.1).on("dense/kernel"))
    alone = updates_of(selected, params, gradients)
    for mine, expected, grads in zip(ours, alone, gradients, strict=True):
        assert_same(mine["dense"]["kernel"], expected["dense"]["kernel"])
        assert_same(mine["scan"], grads["scan"])


def test_a_mask_inside_is_the_optimizers_own_affair():
    mask = {"dense": {"kernel": True, "bias": False}, "scan": False}
    inner = optax.chain(optax.masked(optax.trace(0.9), mask), optax.sgd(0.1))
    params, gradients = random_params(0), [random_params(1), random_params(2)]
    ours = updates_of(penalized(lenient(inner), L1(0.05).on("dense/kernel")), params, gradients)
    plain = updates_of(lenient(inner), params, gradients)
    for mine, theirs in zip(ours, plain, strict=True):
        assert_same((mine["scan"], mine["dense"]["bias"]), (theirs["scan"], theirs["dense"]["bias"]))


LABELS = {"dense": {"kernel": "sparse", "bias": "plain"}, "scan": {"kernel": "grouped"}}


@pytest.mark.slow
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


@pytest.mark.slow
def test_accumulation_outside_steps_with_the_mean_gradient():
    params, gradients = random_params(0), [random_params(seed) for seed in (1, 2, 3, 4)]
    optimizer = penalized(lenient(optax.adam(0.1)), KERNELS)
    accumulating = lenient(optax.MultiSteps(optimizer, 2).gradient_transformation())
    accumulated = updates_of(compiled(accumulating), params, gradients)
    means = [jax.tree.map(lambda a, b: (a + b) / 2, *gradients[i : i + 2]) for i in (0, 2)]
    expected = updates_of(compiled(optimizer), params, means)
    assert all(np.all(u == 0) for i in (0, 2) for u in jax.tree.leaves(accumulated[i]))
    assert_close(accumulated[1], expected[0])
    assert_close(accumulated[3], expected[1])


def test_accumulation_inside_moves_nothing_between_its_steps():
    params, gradients = random_params(0), [random_params(seed) for seed in (1, 2, 3, 4)]
    params["dense"]["kernel"] = params["dense"]["kernel"].at[0].set(0.0)
    inner = optax.MultiSteps(optax.sgd(0.5), 2).gradient_transformation()
    found = updates_of(compiled(penalized(lenient(inner), KERNELS)), params, gradients)
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
    assert_same(params.slow, random_params())
