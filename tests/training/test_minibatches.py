"""Under mini-batches the support is right: batch 32, float32, three seeds, default settings."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.linear_model import Lasso

from penalties import L1, GroupLasso, penalized

from problems import lenient

STEPS, BATCH, SAMPLES, SEEDS = 6_000, 32, 1_000, 3

OPTIMIZERS = {
    "sgd": (optax.sgd, 0.01),
    "momentum": (functools.partial(optax.sgd, momentum=0.9), 0.002),
    "adam": (optax.adam, 3e-3),
    "lion": (optax.lion, 1e-3),
    "rmsprop": (optax.rmsprop, 3e-3),
    "adagrad": (optax.adagrad, 0.1),
}
SCHEDULES = {
    "constant": lambda rate: rate,
    "cosine": lambda rate: optax.cosine_decay_schedule(rate, STEPS),
}
QUICK = [("adam", "constant"), ("sgd", "cosine")]
RUNS = [
    pytest.param(*run, marks=() if run in QUICK else pytest.mark.slow)
    for run in itertools.product(OPTIMIZERS, SCHEDULES)
]


@functools.cache
def single_weights():
    """200 weights, 20 of them in the truth; the lasso's solution by scikit-learn.

    No weight is on the border, where no method can know: the least nonzero one is 0.056, and no zero
    one has a gradient of more than 0.46 times the strength.
    """
    rng = np.random.default_rng(1)
    x = rng.normal(size=(SAMPLES, 200))
    y = x[:, :20] @ rng.normal(size=20) + 0.5 * rng.normal(size=SAMPLES)
    strength = 0.4  # of our loss; scikit-learn's is half of it
    solution = Lasso(alpha=strength / 2, fit_intercept=False, tol=1e-10, max_iter=100_000).fit(x, y).coef_
    return np.float32(x), np.float32(y), L1(strength), solution != 0


@functools.cache
def groups():
    """40 groups of 5 weights, 8 of them in the truth; the solution by block coordinate descent."""
    rng = np.random.default_rng(0)
    members, count, strength = 5, 40, 0.15
    x = rng.normal(size=(SAMPLES, members * count))
    truth = rng.normal(size=(members, count)) * (np.arange(count) < 8)
    y = x @ truth.reshape(-1) + 0.5 * rng.normal(size=SAMPLES)
    rate = SAMPLES / (2 * np.linalg.norm(x, 2) ** 2)
    w = np.zeros((members, count))
    for _ in range(5_000):
        v = w - rate * (2 / SAMPLES * x.T @ (x @ w.reshape(-1) - y)).reshape(w.shape)
        norms = np.linalg.norm(v, axis=0)
        w = v * np.maximum(1 - rate * strength * np.sqrt(members) / norms, 0)
    return np.float32(x), np.float32(y), GroupLasso(strength), np.linalg.norm(w, axis=0) != 0


def supports(problem, optimizer, shape, steps=STEPS, **options):
    """The nonzero weights of each of three runs, which differ in their batches."""
    x, y, penalty = jnp.asarray(problem[0]), jnp.asarray(problem[1]), problem[2]
    tx = penalized(lenient(optimizer), penalty, **options)

    def loss(w, rows):
        return jnp.mean((x[rows] @ w.reshape(-1) - y[rows]) ** 2)

    def run(key):
        def step(carry, key):
            w, state = carry
            rows = jax.random.randint(key, (BATCH,), 0, SAMPLES)
            updates, state = tx.update(jax.grad(loss)(w, rows), state, w)
            return (optax.apply_updates(w, updates), state), None

        w = jnp.zeros(shape)
        return jax.lax.scan(step, (w, tx.init(w)), jax.random.split(key, steps))[0][0]

    return np.asarray(jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(1), SEEDS))) != 0


def f1(found, true):
    return 2 * np.sum(found & true) / (np.sum(found) + np.sum(true))


@pytest.mark.parametrize(("optimizer", "schedule"), RUNS)
def test_l1_finds_the_support(optimizer, schedule):
    make, rate = OPTIMIZERS[optimizer]
    found = supports(single_weights(), make(SCHEDULES[schedule](rate)), (200,))
    assert min(f1(run, single_weights()[-1]) for run in found) >= 0.99


@pytest.mark.parametrize(("optimizer", "schedule"), RUNS)
def test_group_lasso_finds_the_groups(optimizer, schedule):
    make, rate = OPTIMIZERS[optimizer]
    found = supports(groups(), make(SCHEDULES[schedule](rate)), (5, 40))
    assert min(f1(run.any(0), groups()[-1]) for run in found) >= 0.95


@pytest.mark.slow
def test_an_average_in_bfloat16_finds_the_same_support():
    optimizer = optax.adam(3e-3)
    found = supports(single_weights(), optimizer, (200,), accumulator_dtype=jnp.bfloat16)
    assert min(f1(run, single_weights()[-1]) for run in found) >= 0.99


@pytest.mark.slow
def test_without_an_average_the_support_is_noise():
    found = supports(single_weights(), optax.adam(3e-3), (200,), decay=0.0)
    assert max(f1(run, single_weights()[-1]) for run in found) < 0.6
