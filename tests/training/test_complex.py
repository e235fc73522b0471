"""Complex weights: updates are conjugated gradients, as in optax."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import L1, L2, ElasticNet, GroupLasso, add_penalty, optimality, penalized

PARAMS = {"a": jnp.array([1 + 1j, -2j, 0]), "b": jnp.array([3.0, -1.0])}
TARGET = {"a": jnp.array([2 - 1j, 0.1j, 3j]), "b": jnp.array([0.5, 2.0])}


def gradients(params):
    def loss(params):
        return sum(jnp.sum(jnp.abs(params[k] - TARGET[k]) ** 2) / 2 for k in params)

    return jax.tree.map(jnp.conj, jax.grad(loss)(params))


def test_add_penalty_decays_as_optax_does():
    grads, theirs = gradients(PARAMS), optax.add_decayed_weights(0.2)
    ours = add_penalty(L2(0.1))
    expected, _ = theirs.update(grads, theirs.init(PARAMS), PARAMS)
    found, _ = ours.update(grads, ours.init(PARAMS), PARAMS)
    chex.assert_trees_all_close(found, expected, rtol=1e-6)


@pytest.mark.parametrize("penalty", [L1(0.1), ElasticNet(0.1, 0.2), GroupLasso(0.1, axis=())], ids=repr)
def test_add_penalty_adds_what_subgradient_adds(penalty):
    params = jax.tree.map(lambda w: w + 0.5, PARAMS)  # no zeros
    grads = gradients(params)
    found, _ = add_penalty(penalty).update(grads, add_penalty(penalty).init(params), params)
    chex.assert_trees_all_close(found, penalty.subgradient(params, grads), rtol=1e-6)


def test_both_transforms_end_at_the_ridge_solution():
    for optimizer in (optax.chain(add_penalty(L2(0.5)), optax.sgd(0.2)), penalized(optax.sgd(0.2), L2(0.5))):
        params, state = PARAMS, optimizer.init(PARAMS)
        for _ in range(60):
            updates, state = optimizer.update(gradients(params), state, params)
            params = optax.apply_updates(params, updates)
        jax.tree.map(lambda w, t: np.testing.assert_allclose(w, t / 2, atol=1e-5), params, TARGET)
        assert optimality(L2(0.5), params, gradients(params)).norm < 1e-4
