"""The state of `penalized`: its fields, and the average that decides at zero."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import L1, L2, penalized

from cases import random_params
from loops import KERNELS, train
from problems import lenient


def test_the_state_is_a_named_tuple():
    state = penalized(optax.adam(0.1), KERNELS).init(random_params())
    assert state._fields == ("inner_state", "penalty", "given", "average", "penalty_step", "watched")
    assert state.watched is None
    assert jax.tree.structure(state.inner_state) == jax.tree.structure(optax.adam(0.1).init(random_params()))
    assert state.penalty == jax.tree.map(jnp.array, KERNELS)
    assert state.penalty_step.dtype == jnp.int32
    _, after = train(penalized(lenient(optax.adam(0.1)), KERNELS), random_params(), 3)
    assert int(after.penalty_step) == 3
    chex.assert_trees_all_equal_shapes_and_dtypes(after, state)


def test_only_leaves_with_kinks_have_an_average():
    params, nothing = random_params(), optax.MaskedNode()
    average = penalized(optax.sgd(0.1), KERNELS + L2(0.1).on("*/bias")).init(params).average
    assert average["dense"]["bias"] == nothing
    assert average["dense"]["kernel"].shape == (3, 2)
    assert average["scan"]["kernel"].shape == (2, 3, 3)
    assert jax.tree.leaves(penalized(optax.sgd(0.1), L2(0.1)).init(params).average) == []
    assert jax.tree.leaves(penalized(optax.sgd(0.1), L2(0.1) + L2(0.2)).init(params).average) == []


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


def test_the_average_goes_on_when_the_count_has_reached_its_end():
    params = jnp.ones(2)
    optimizer = penalized(optax.sgd(0.1), L1(0.1), decay=0.99)
    state = optimizer.init(params)._replace(penalty_step=jnp.int32(2**31 - 1))
    _, state = optimizer.update(params, state, params)
    np.testing.assert_allclose(state.average, 0.01, rtol=1e-5)
