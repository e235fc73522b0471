"""`penalized` reaches a stationary point with groups of every shape, zeros exact (full gradients)."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from penalties import (
    L1,
    MCP,
    ExclusiveLasso,
    Grouped,
    GroupLasso,
    blocks,
    labels,
    leaves,
    optimality,
    penalized,
    solve,
)

from problems import lenient

STEPS = 4_000
NAMES = np.random.default_rng(1).integers(0, 6, size=(4, 6))
PENALTIES = {
    "blocks": GroupLasso(0.15, groups=blocks((2, 3))),
    "labels": GroupLasso(0.15, groups=labels(NAMES)),
    "leaves": GroupLasso(0.1, groups=leaves(), weights=1.0),
    "sparse blocks": GroupLasso(0.1, groups=blocks((2, 3))) + L1(0.1),
    "MCP of labels": Grouped(MCP(0.2), groups=labels(NAMES)),
    "exclusive": ExclusiveLasso(0.1),
    "exclusive labels": ExclusiveLasso(0.2, groups=labels(NAMES)) + L1(0.05),
}
OPTIMIZERS = {
    "adam": optax.adam(optax.cosine_decay_schedule(1e-2, STEPS)),
    "momentum": optax.sgd(optax.cosine_decay_schedule(2e-2, STEPS), 0.9),
    "lion": optax.lion(optax.cosine_decay_schedule(1e-3, STEPS)),
}
FAST = {("blocks", "adam"), ("labels", "momentum"), ("exclusive", "adam")}


def problem():
    rng = np.random.default_rng(0)
    x, truth = rng.normal(size=(80, 24)), np.zeros((4, 6))
    truth[:2, :3] = rng.normal(size=(2, 3))
    y = x @ truth.ravel() + 0.3 * rng.normal(size=80)
    return lambda w: jnp.mean((x @ w.reshape(-1) - y) ** 2)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("name", "optimizer"),
    [
        pytest.param(name, optimizer, marks=[] if (name, optimizer) in FAST else pytest.mark.slow)
        for name in PENALTIES
        for optimizer in OPTIMIZERS
    ],
)
def test_training_reaches_the_solution(name, optimizer):
    penalty, loss = PENALTIES[name], problem()
    tx = penalized(lenient(OPTIMIZERS[optimizer]), penalty)

    def step(carry, _):
        w, state = carry
        updates, state = tx.update(jax.grad(loss)(w), state, w)
        return (optax.apply_updates(w, updates), state), None

    w = jnp.zeros((4, 6))
    w, _ = jax.jit(lambda w, s: jax.lax.scan(step, (w, s), length=STEPS)[0])(w, tx.init(w))
    assert optimality(penalty, w, jax.grad(loss)(w)).norm <= 1e-6
    assert name == "leaves" or 0 < np.count_nonzero(w) < 24
    if name != "MCP of labels":  # the others are convex
        solution = solve(loss, penalty, w, tol=1e-10).params
        np.testing.assert_array_equal(w == 0, solution == 0)
        assert loss(w) + penalty(w) <= loss(solution) + penalty(solution) + 1e-9


def test_one_state_serves_all_strengths():
    penalty = GroupLasso(0.1, groups=labels(NAMES), weights=np.linspace(1, 2, 6).astype(np.float32))
    tx, w = penalized(optax.sgd(0.1), penalty), jnp.ones((4, 6))

    @jax.jit
    def update(grads, state, w):
        update.traces += 1
        return tx.update(grads, state, w)

    update.traces = 0
    state = optax.tree.set(tx.init(w), penalty=2 * penalty)
    for grads in (0 * w, w):
        _, state = update(grads, state, w)
    assert update.traces == 1
    assert state.penalty == 2 * penalty
