"""optimality: how far from the solution, leaf by leaf."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import L1, GroupLasso, optimality, penalized

from cases import random_params
from loops import KERNELS, Quartic, assert_close, soft, target_loss


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


def test_optimality_passes_over_the_float0_gradients_of_integers():
    params = {"w": jnp.array([1.0, -2.0]), "steps": jnp.arange(2)}
    grads = jax.grad(lambda p: jnp.sum(p["w"] ** 2), allow_int=True)(params)
    found = optimality(L1(0.5), params, grads)
    assert list(found.leaves) == ["w"]
    np.testing.assert_allclose(found.norm, np.hypot(2.5, 4.5), rtol=1e-6)
