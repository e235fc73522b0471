"""What `penalized` feeds the optimizer inside, and what it leaves to it bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import L1, L2, ElasticNet, GroupLasso, penalized

from cases import random_params
from loops import KERNELS, assert_close, assert_same, target_loss, train, updates_of
from problems import lenient


def quick(optimizers, *names):
    """All of them, those not named marked as slow."""
    return [
        pytest.param(optimizer, id=name, marks=() if name in names else pytest.mark.slow)
        for name, optimizer in optimizers.items()
    ]


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


@pytest.mark.parametrize("inner", quick(INNER, "momentum", "adam", "lion"))
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


@pytest.mark.parametrize("inner", quick(CHAINS, "clipping by the global norm", "accumulation"))
def test_away_from_kinks_it_is_the_optimizer_on_loss_plus_penalty(inner):
    params = jax.tree.map(lambda w: w + 3 * jnp.sign(w), random_params())  # too far to reach zero
    penalty = ElasticNet(0.1, 0.2)
    ours, _ = train(penalized(lenient(inner), penalty), params, 4)
    theirs, _ = train(lenient(inner), params, 4, lambda p: target_loss(p) + penalty(p))
    assert_close(ours, theirs)
    assert np.max(np.abs(ours["dense"]["kernel"] - params["dense"]["kernel"])) > 0


@pytest.mark.parametrize(
    "name",
    [
        "momentum",
        "adam",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("sgd", "rmsprop", "lion")),
    ],
)
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
        assert_same(mine, theirs)


def test_a_frozen_weight_is_not_moved():
    labels = {"dense": "train", "scan": "freeze"}
    inner = optax.partition({"train": optax.adam(0.1), "freeze": optax.set_to_zero()}, labels)
    params = random_params()
    trained, _ = train(penalized(lenient(inner), L1(0.1) + GroupLasso(0.1)), params, 5)
    assert_same(trained["scan"], params["scan"])
    assert np.all(trained["dense"]["kernel"] != params["dense"]["kernel"])


def test_l2_alone_is_l2_in_the_loss():
    ours, _ = train(penalized(lenient(optax.adam(0.05)), L2(0.2)), random_params(), 6)
    reference, _ = train(lenient(optax.adam(0.05)), random_params(), 6, lambda p: target_loss(p) + L2(0.2)(p))
    assert_close(ours, reference)


def test_multi_steps_is_an_optimizer_though_of_another_type():
    optimizer = penalized(optax.MultiSteps(optax.sgd(0.5), 2), L1(0.1))
    params = jnp.array([1.0, 0.0])
    state = optimizer.init(params)
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(2):
            updates, state = optimizer.update(jnp.array([0.3, 0.05]), state, params)
    np.testing.assert_allclose(updates, [-0.2, 0.0], rtol=1e-6)
