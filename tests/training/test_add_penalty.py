"""add_penalty in optax chains: what it is equal to."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import L1, L2, ElasticNet, GroupLasso, add_penalty

from cases import random_params
from loops import assert_same
from problems import lenient


def loss(params):
    """Smooth, and different for every weight."""
    return sum(jnp.sum((w - 0.3) ** 2 * jnp.cos(w)) for w in jax.tree.leaves(params))


def train(optimizer, params, objective, steps):
    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(jax.grad(objective)(params), state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for _ in range(steps):
        params, state = step(params, state)
    return params


PENALTIES = {
    "L1": L1(0.1),
    "L2": L2(0.1),
    "ElasticNet": ElasticNet(0.1, 0.2),
    "GroupLasso": GroupLasso(0.1),
    "selected": L1(0.1).on("*/kernel") + L2(0.2).on("*/bias"),
}
OPTIMIZERS = {"sgd": optax.sgd(0.05, momentum=0.9), "adam": optax.adam(0.05)}


@functools.cache
def without_a_penalty(name):
    return train(lenient(OPTIMIZERS[name]), random_params(), loss, 8)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
def test_in_front_of_an_optimizer_it_is_the_penalty_in_the_loss(penalty, name):
    params, optimizer = random_params(), OPTIMIZERS[name]
    inside = train(optax.chain(add_penalty(penalty), lenient(optimizer)), params, loss, 8)
    reference = train(lenient(optimizer), params, lambda p: loss(p) + penalty(p), 8)
    chex.assert_trees_all_close(inside, reference, rtol=2e-6, atol=1e-7)
    without = without_a_penalty(name)
    assert abs(float(inside["dense"]["kernel"][0, 0] - without["dense"]["kernel"][0, 0])) > 1e-3


@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
def test_the_updates_are_the_gradient_plus_the_penaltys_within_a_rounding(penalty):
    params, grads = random_params(0), random_params(1)
    updates, _ = add_penalty(penalty).update(grads, add_penalty(penalty).init(params), params)
    expected = jax.tree.map(jnp.add, grads, jax.grad(penalty)(params))
    chex.assert_trees_all_close(updates, expected, rtol=2e-7, atol=6e-8)


def test_between_the_scaling_and_the_learning_rate_it_is_adamw():
    strength, rate = 0.05, 0.1
    chain = optax.chain(optax.scale_by_adam(), add_penalty(L2(strength)), optax.scale_by_learning_rate(rate))
    params = random_params()
    ours = train(lenient(chain), params, loss, 10)
    chex.assert_trees_all_close(
        ours,
        train(lenient(optax.adamw(rate, weight_decay=2 * strength)), params, loss, 10),
        rtol=1e-6,
        atol=1e-7,
    )
    coupled = train(lenient(optax.chain(add_penalty(L2(strength)), optax.adam(rate))), params, loss, 10)
    assert np.max(np.abs(ours["scan"]["kernel"] - coupled["scan"]["kernel"])) > 1e-3


def test_a_zero_weight_is_not_moved_by_l1():
    params = {"w": jnp.array([0.0, -0.0, 2.0])}
    updates, _ = add_penalty(L1(1.0)).update(
        optax.tree.zeros_like(params), add_penalty(L1(1.0)).init(params), params
    )
    assert updates["w"].tolist() == [0.0, 0.0, 1.0]


def test_updates_of_one_dtype_and_params_of_another():
    params, grads = random_params(0, jnp.bfloat16), random_params(1, jnp.float32)
    transform = add_penalty(L2(0.5))
    updates, _ = transform.update(grads, transform.init(params), params)
    expected = jax.tree.map(lambda g, w: g + w.astype(jnp.float32), grads, params)
    assert_same(updates, expected)  # float32, and the penalty's gradient was not rounded to bfloat16


def test_optax_masked_restricts_it():
    params, grads = random_params(0), random_params(1)
    mask = {"dense": {"kernel": True, "bias": False}, "scan": False}
    transform = optax.masked(add_penalty(L2(0.5)), mask)
    updates, _ = transform.update(grads, transform.init(params), params)
    expected = add_penalty(L2(0.5).on("dense/kernel"))
    assert_same(updates, expected.update(grads, expected.init(params), params)[0])
    assert_same(updates["scan"], grads["scan"])
