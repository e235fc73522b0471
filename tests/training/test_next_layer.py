"""Group lasso on one layer of a ReLU network has no minimum; an L2 on the next layer gives it one."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import L2, GroupLasso, group_lasso, optimality, penalized

from problems import lenient

GUIDE = Path(__file__).parent.parent.parent / "docs" / "guides" / "groups.md"
STEPS = 12_000
UNITS = 16
STRENGTH = 0.01
GROUPS = GroupLasso(STRENGTH).on("first/kernel")
NEXT = L2(STRENGTH).on("next/kernel")

rng = np.random.default_rng(0)
X = jnp.asarray(rng.normal(size=(512, 6)), jnp.float32)
Y = jnp.sin(X[:, 0]) + jnp.abs(X[:, 1]) - 0.5 * X[:, 0] * X[:, 1]
PARAMS = {
    "first": {
        "kernel": jnp.asarray(0.4 * rng.normal(size=(6, UNITS)), jnp.float32),
        "bias": jnp.zeros(UNITS),
    },
    "next": {"kernel": jnp.asarray(0.3 * rng.normal(size=(UNITS, 1)), jnp.float32), "bias": jnp.zeros(1)},
}


def network(params):
    hidden = jax.nn.relu(X @ params["first"]["kernel"] + params["first"]["bias"][None])
    return (hidden @ params["next"]["kernel"] + params["next"]["bias"][None])[:, 0]


def loss(params):
    return jnp.mean((network(params) - Y) ** 2)


def train(penalty):
    """The params, and after each sixth of the steps ‖next‖, the objective and the optimality."""
    optimizer = penalized(lenient(optax.adam(optax.cosine_decay_schedule(0.01, STEPS))), penalty)

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    def sixth(carry, _):
        carry, _ = jax.lax.scan(step, carry, length=STEPS // 6)
        params = carry[0]
        distance = optimality(penalty, params, jax.grad(loss)(params)).norm
        return carry, (jnp.linalg.norm(params["next"]["kernel"]), loss(params) + penalty(params), distance)

    run = jax.jit(lambda carry: jax.lax.scan(sixth, carry, length=6))
    (params, _), history = run((PARAMS, optimizer.init(PARAMS)))
    return params, *map(np.asarray, history)


@pytest.fixture(scope="module")
def alone():
    return train(GROUPS)


@pytest.fixture(scope="module")
def with_l2():
    return train(GROUPS + NEXT)


def test_alone_the_next_layer_grows_and_the_objective_falls_without_end(alone):
    _, following, objective, distance = alone
    assert np.all(np.diff(following) > 0.1)
    assert following[-1] > 2.5 * following[0]
    assert np.all(np.diff(objective) < 0)
    assert np.min(distance) > 0.01


def test_alone_the_same_network_can_always_be_had_for_less(alone):
    params, *_ = alone
    first, following = params["first"], params["next"]
    rescaled = {
        "first": jax.tree.map(lambda w: w / 2, first),
        "next": {"kernel": 2 * following["kernel"], "bias": following["bias"]},
    }
    np.testing.assert_allclose(network(rescaled), network(params), rtol=1e-5)
    np.testing.assert_allclose(GROUPS(rescaled), GROUPS(params) / 2, rtol=1e-6)


@pytest.mark.slow
def test_with_an_l2_on_the_next_layer_it_comes_to_rest(alone, with_l2):
    params, following, _, distance = with_l2
    start = optimality(GROUPS + NEXT, PARAMS, jax.grad(loss)(PARAMS)).norm
    assert distance[-1] < start / 1000
    assert distance[-1] < alone[3][-1] / 10
    np.testing.assert_allclose(following, following[-1], rtol=0.01)
    # d/dc of λ·G/c + μ·N·c² at c = 1: at a solution the two penalties are in balance.
    groups = STRENGTH * group_lasso(params["first"]["kernel"], 1.0)
    np.testing.assert_allclose(groups, 2 * NEXT(params), rtol=0.01)
    assert 0 < np.sum(np.all(np.asarray(params["first"]["kernel"]) == 0, axis=0)) < UNITS


def test_the_docstring_and_the_guide_say_so():
    for text in (GroupLasso.__doc__, GUIDE.read_text(encoding="utf-8")):
        assert "ReLU" in text
        assert '+ L2(1e-2).on("next/kernel")' in text
