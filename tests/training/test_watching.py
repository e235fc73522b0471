"""Zeros that somebody else moves are found, if asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import L1, L2, GroupLasso, penalized

from problems import lenient

PARAMS = {"a": jnp.array([[0.05, 2.0], [-0.05, 1.0]]), "b": jnp.ones(3)}
PENALTY = L1(1.0).on("a")


def train(optimizer, steps=4):
    optimizer = lenient(optimizer)

    @jax.jit
    def step(params, state):
        grads = jax.tree.map(lambda w: 0.1 * w, params)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    params, state = PARAMS, optimizer.init(PARAMS)
    for _ in range(steps):
        params, state = step(params, state)
        jax.block_until_ready(params)
    jax.effects_barrier()
    return params, state


ADAM = optax.chain(optax.scale_by_adam(), optax.scale_by_learning_rate(0.1))
WRONG = {
    "a rate after it": lambda watched: optax.chain(watched(optax.scale_by_adam()), optax.scale(-0.1)),
    "a scale after it": lambda watched: optax.chain(watched(optax.adam(1.0)), optax.scale(0.01)),
    "noise after it": lambda watched: optax.chain(watched(optax.sgd(0.1)), optax.add_noise(1e-3, 0.5, 0)),
}


@pytest.mark.parametrize("optimizer", [optax.adam(0.1), ADAM, optax.sgd(0.1, momentum=0.9), optax.lion(0.1)])
@pytest.mark.parametrize("penalty", [PENALTY, GroupLasso(1.0).on("a")], ids=str)
def test_nothing_is_said_where_nobody_moves_zeros(optimizer, penalty):
    params, state = train(optax.chain(optax.clip(10.0), penalized(optimizer, penalty, check=True)))
    watched = optax.tree.get(state, "watched")
    assert int(watched.moved) == 0
    np.testing.assert_array_equal(watched.zeros["a"], params["a"] == 0)


def test_what_has_no_kink_is_not_watched():
    _, state = train(penalized(optax.adam(0.1), L2(1.0), check=True))
    assert jax.tree.leaves(state.watched.zeros) == []


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG)
def test_a_transform_after_penalized_is_found(make):
    with pytest.raises(Exception, match="Put `penalized` around the whole optimizer, learning rate included"):
        train(make(lambda optimizer: penalized(optimizer, PENALTY, check=True)))


def test_without_check_the_state_keeps_no_masks():
    _, state = train(penalized(optax.adam(0.1), PENALTY))
    assert state.watched is None
