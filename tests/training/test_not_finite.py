"""Gradients that are not finite, or huge: the average and the training outlive them."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import L1, GroupLasso, penalized

from cases import random_params
from loops import KERNELS, assert_same, stepper, target_loss, train
from problems import lenient


@pytest.mark.parametrize("stored", [jnp.float16, jnp.bfloat16, None])
def test_one_huge_gradient_does_not_stay_in_the_average(stored):
    optimizer = penalized(optax.sgd(0.1), L1(1.0), accumulator_dtype=stored)
    w = jnp.zeros(2)
    gradients = jnp.full((2003, 2), 0.5).at[:3, 0].set(jnp.array([1e38, -3e38, 3e38]))

    def update(state, gradient):
        return optimizer.update(gradient, state, w)[1], None

    state, _ = jax.jit(lambda state: jax.lax.scan(update, state, gradients))(optimizer.init(w))
    assert np.all(np.isfinite(state.average.astype(np.float32)))
    assert abs(state.average[1] - 0.5) < 0.01


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
    assert_same(after.average, expected)
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


@pytest.mark.parametrize("place", [pytest.param("inside", marks=pytest.mark.slow), "outside"])
@pytest.mark.parametrize(
    "penalty", [KERNELS, pytest.param(GroupLasso(0.1).on("*/kernel"), marks=pytest.mark.slow)]
)
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
    assert_same(optax.apply_updates(params, updates), params)
    assert int(optax.tree.get(state, "notfinite_count")) == 1
    average = optax.tree.get(state, "average")
    chex.assert_tree_all_finite(average["dense"]["kernel"])
    step = stepper(optimizer)
    for _ in range(5):
        params, state = step(params, state)
    chex.assert_tree_all_finite(params)
    assert int(optax.tree.get(state, "notfinite_count")) == 0
