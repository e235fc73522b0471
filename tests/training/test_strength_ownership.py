"""Who owns the strength: the transform that was built with it, or who sets it in the state."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from penalties import L1, ElasticNet, add_penalty, penalized, proximal

from problems import lenient

PARAMS = {"kernel": jnp.array([1.0, -2.0, 0.5])}
GRADS = {"kernel": jnp.array([0.1, 0.2, -0.3])}
TRANSFORMS = {
    "penalized": lambda penalty: penalized(optax.sgd(0.1), penalty),
    "add_penalty": lambda penalty: optax.chain(add_penalty(penalty), optax.sgd(0.1)),
    "proximal": lambda penalty: optax.chain(optax.sgd(0.1), proximal(penalty, 0.1)),
}
every_transform = pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS)


def steps(optimizer, state, count=3):
    """`count` jitted updates of the same params: the last of them, and the state."""
    optimizer, traces = lenient(optimizer), []

    @jax.jit
    def update(state):
        traces.append(None)
        return optimizer.update(GRADS, state, PARAMS)

    for _ in range(count):
        updates, state = update(state)
    assert len(traces) == 1
    return updates, state


def strength(state):
    return float(optax.tree.get(state, "penalty").strength)


def saved_and_restored(tmp_path, state, target):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        return checkpointer.restore(tmp_path / "state", target)


@every_transform
def test_a_restored_checkpoint_takes_the_strength_of_the_transform_it_is_restored_for(make, tmp_path):
    _, trained = steps(make(L1(0.2)), make(L1(0.2)).init(PARAMS))
    optimizer = make(L1(1.0))
    restored = saved_and_restored(tmp_path, trained, optimizer.init(PARAMS))
    updates, state = steps(optimizer, restored)
    assert strength(state) == 1.0
    expected, _ = steps(optimizer, optimizer.init(PARAMS))
    np.testing.assert_allclose(updates["kernel"], expected["kernel"], rtol=1e-6)


@every_transform
def test_a_strength_set_in_the_state_holds_after_a_checkpoint_of_the_same_transform(make, tmp_path):
    optimizer = make(L1(0.2))
    state = optax.tree.set(optimizer.init(PARAMS), penalty=L1(0.7))
    _, state = steps(optimizer, state)
    restored = saved_and_restored(tmp_path, state, make(L1(0.2)).init(PARAMS))
    _, state = steps(make(L1(0.2)), restored)
    assert strength(state) == np.float32(0.7)


@every_transform
def test_a_penalty_set_in_place_of_a_schedule_holds(make):
    optimizer = make(lambda count: 0.1 * (count + 1).astype(jnp.float32) / 3 * L1(1.0))
    _, state = steps(optimizer, optimizer.init(PARAMS))
    assert strength(state) == pytest.approx(0.1)
    updates, state = steps(optimizer, optax.tree.set(state, penalty=L1(5.0)))
    assert strength(state) == 5.0
    fixed = make(L1(5.0))
    np.testing.assert_allclose(updates["kernel"], steps(fixed, fixed.init(PARAMS))[0]["kernel"], rtol=1e-6)


@every_transform
def test_another_schedule_wins_over_a_restored_one(make, tmp_path):
    _, trained = steps(make(lambda count: L1(0.2)), make(lambda count: L1(0.2)).init(PARAMS))
    optimizer = make(lambda count: L1(0.9))
    _, state = steps(optimizer, saved_and_restored(tmp_path, trained, optimizer.init(PARAMS)))
    assert strength(state) == np.float32(0.9)


def test_any_strength_that_differs_makes_it_another_penalty():
    optimizer = penalized(optax.sgd(0.1), ElasticNet(0.1, 0.2))
    other = penalized(optax.sgd(0.1), ElasticNet(0.1, 0.3))
    _, state = steps(other, optimizer.init(PARAMS), 1)
    assert float(state.penalty.l2) == np.float32(0.3)


def test_strengths_of_each_weight_are_owned_alike():
    weights = jnp.array([0.1, 0.2, 0.3])
    optimizer = penalized(optax.sgd(0.1), L1(weights))
    _, state = steps(penalized(optax.sgd(0.1), L1(weights[::-1])), optimizer.init(PARAMS), 1)
    np.testing.assert_array_equal(state.penalty.strength, weights[::-1])
    _, state = steps(optimizer, optax.tree.set(optimizer.init(PARAMS), penalty=L1(weights[::-1])), 2)
    np.testing.assert_array_equal(state.penalty.strength, weights[::-1])


def test_names_that_users_look_up_stay_those_of_their_optimizer():
    adam = optax.adam(0.1)
    for optimizer in (penalized(adam, L1(0.1)), optax.chain(add_penalty(L1(0.1)), adam)):
        _, state = steps(optimizer, optimizer.init(PARAMS))
        assert int(optax.tree.get(state, "count")) == 3
        assert optax.tree.get(state, "mu")["kernel"].shape == (3,)
