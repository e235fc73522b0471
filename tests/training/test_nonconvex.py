"""penalized with nonconvex penalties stops at stationary points, of which there may be several."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import L1, MCP, SCAD, Grouped, LogSum, optimality, penalized

from problems import OPTIMIZERS, STEPS, design, lenient

PENALTIES = {
    "MCP": MCP(0.3, gamma=3.0),
    "SCAD": SCAD(0.3),
    "LogSum": LogSum(0.15, epsilon=0.5),
    "group SCAD": Grouped(SCAD(0.3)),
    "group LogSum": Grouped(LogSum(0.15, epsilon=0.5)),
}
# One optimizer for each penalty; the other pairs run with the slow tests.
FAST = {("adam", "MCP"), ("momentum", "SCAD"), ("lion", "LogSum")}
PAIRS = [
    pytest.param(optimizer, name, marks=() if (optimizer, name) in FAST else pytest.mark.slow)
    for optimizer in ("adam", "momentum", "lion")
    for name in PENALTIES
]


@functools.cache
def regression():
    x, _, rng = design(0, 120, 40, badly_scaled=False)
    truth = np.where(np.arange(8) < 3, rng.choice([-1, 1], (5, 8)) * rng.uniform(0.2, 3, (5, 8)), 0)
    return x, x @ truth.ravel() + 0.3 * rng.normal(size=120), truth


def loss(w):
    x, y, _ = regression()
    return jnp.mean((x @ w.ravel() - y) ** 2)


def trained(optimizer, penalty, start):
    tx = penalized(lenient(optimizer), penalty)

    def step(carry, _):
        w, state = carry
        updates, state = tx.update(jax.grad(loss)(w), state, w)
        return (optax.apply_updates(w, updates), state), None

    return jax.jit(lambda w, s: jax.lax.scan(step, (w, s), length=STEPS)[0][0])(start, tx.init(start))


@pytest.mark.parametrize(("optimizer", "name"), PAIRS)
def test_a_stationary_point_is_reached(optimizer, name, x64):
    penalty = PENALTIES[name]
    w = trained(OPTIMIZERS[optimizer](0.05), penalty, jnp.zeros((5, 8)))
    assert optimality(penalty, w, jax.grad(loss)(w)).norm <= 1e-6
    assert 0.3 < np.mean(np.asarray(w) == 0) < 0.9
    # Zero is none of them, and large weights are those of least squares on the support, where the slope is 0.
    assert optimality(penalty, jnp.zeros_like(w), jax.grad(loss)(jnp.zeros_like(w))).norm > 0.1


@pytest.mark.parametrize("name", [pytest.param("MCP", marks=pytest.mark.slow), "SCAD"])
def test_large_weights_have_no_bias(name, x64):
    x, y, truth = regression()
    w = np.asarray(trained(OPTIMIZERS["adam"](0.05), PENALTIES[name], jnp.zeros((5, 8))))
    large = np.abs(w) > 0.3 * 3.7
    biased = np.asarray(trained(OPTIMIZERS["adam"](0.05), L1(0.3), jnp.zeros((5, 8))))
    assert np.abs(w - truth)[large].mean() < 0.5 * np.abs(biased - truth)[large].mean()
    np.testing.assert_allclose((x.T @ (x @ w.ravel() - y))[large.ravel()], 0, atol=1e-4)


def test_which_stationary_point_is_found_depends_on_the_start(x64):
    penalty = MCP(1.0, gamma=1.5)
    tx = penalized(optax.sgd(0.05), penalty)

    def step(carry, _):
        w, state = carry
        updates, state = tx.update(0.5 * (w - 1.8), state, w)  # of ¼(w − 1.8)², less curved than MCP
        return (optax.apply_updates(w, updates), state), None

    w = jnp.array([0.0, 1.6])
    w, _ = jax.jit(lambda w, s: jax.lax.scan(step, (w, s), length=1000)[0])(w, tx.init(w))
    assert optimality(penalty, w, 0.5 * (w - 1.8)).norm <= 1e-6
    assert w[0] == 0
    np.testing.assert_allclose(w[1], 1.8, rtol=1e-6)
