"""With a window that grows zeros come to rest; with a fixed one they flicker for ever."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.linear_model import Lasso

from penalties import L1, GroupLasso, penalized
from penalties._training.settling import average_weight

from problems import lenient

STEPS, BATCH, SAMPLES, FEATURES, SEEDS = 12_000, 32, 800, 160, 3
OPTIMIZERS = {
    "sgd": (optax.sgd, 3e-3),
    "momentum": (functools.partial(optax.sgd, momentum=0.9), 1e-3),
    "adam": (optax.adam, 1e-3),
    "lion": (functools.partial(optax.lion, weight_decay=0.0), 3e-4),
}
QUICK = ("sgd", "adam")
EVERY_OPTIMIZER = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in OPTIMIZERS]


@functools.cache
def problem(noise: float, relative: float):
    """A lasso with x, y, strength and the support of scikit-learn's solution; the loss is ½ a mean square."""
    rng = np.random.default_rng(6 if noise > 2 else 5)
    x = rng.normal(size=(SAMPLES, FEATURES))
    truth = np.zeros(FEATURES)
    truth[:15] = rng.normal(size=15)
    y = x @ truth + noise * rng.normal(size=SAMPLES)
    x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
    strength = relative * np.abs(x.T @ y).max() / SAMPLES
    solution = Lasso(strength, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(x, y).coef_
    return np.float32(x), np.float32(y), float(strength), solution


def trained(problem, optimizer, penalty, shape=(FEATURES,), **options):
    """The weights of each run, and how many left or entered zero in the last fifth of its steps."""
    x, y = jnp.asarray(problem[0]), jnp.asarray(problem[1])
    tx = penalized(lenient(optimizer), penalty, **options)

    def loss(w, rows):
        return 0.5 * jnp.mean((x[rows] @ w.reshape(-1) - y[rows]) ** 2)

    def run(key):
        def step(carry, key):
            w, state = carry
            rows = jax.random.randint(key, (BATCH,), 0, SAMPLES)
            updates, state = tx.update(jax.grad(loss)(w, rows), state, w)
            new = optax.apply_updates(w, updates)
            return (new, state), jnp.sum((new != 0) != (w != 0))

        w = jnp.zeros(shape)
        (w, _), flips = jax.lax.scan(step, (w, tx.init(w)), jax.random.split(key, STEPS))
        return w, jnp.sum(flips[-STEPS // 5 :])

    return jax.tree.map(np.asarray, jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), SEEDS)))


def decaying(name):
    make, rate = OPTIMIZERS[name]
    return make(optax.cosine_decay_schedule(rate, STEPS))


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY_OPTIMIZER)
def test_no_weight_flips_in_the_last_fifth(name):
    easy = problem(1.2, 0.1)
    _, flips = trained(easy, decaying(name), L1(easy[2]))
    assert flips.max() == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY_OPTIMIZER)
def test_no_group_flips_in_the_last_fifth(name):
    easy = problem(1.2, 0.1)
    _, flips = trained(easy, decaying(name), GroupLasso(easy[2]), shape=(5, FEATURES // 5))
    assert flips.max() == 0


def f1(found, true):
    return 2 * np.sum(found & true) / (np.sum(found) + np.sum(true))


@pytest.mark.slow
def test_a_support_within_a_hair_of_the_border_is_found_and_a_fixed_window_does_not():
    hard = problem(3.0, 0.06)
    x, y, strength, solution = hard
    nearness = 1 - np.abs(x.T @ (y - x @ solution)) / len(y) / strength
    assert 0 < np.sort(nearness[solution == 0])[1] < 0.07  # the second nearest; the nearest is on the border
    weights, flips = trained(hard, decaying("adam"), L1(strength))
    assert min(f1(w != 0, solution != 0) for w in weights) >= 0.95
    weights, fixed = trained(hard, decaying("adam"), L1(strength), decay=0.99)
    assert fixed.mean() > 5 * flips.mean()


def test_the_window_is_a_third_of_all_steps_in_the_end_and_never_under_100():
    def window(step, decay=None):
        return 1 / float(average_weight(jnp.int32(step - 1), decay))

    assert window(1) == 1
    for step in (10, 300, 1000):
        assert window(step) == pytest.approx(window(step, 0.99), rel=1e-5)
    assert window(1_000_000) == pytest.approx(1_000_000 / 3, rel=1e-2)
    assert window(2**31 - 1) == pytest.approx((2**31) / 3, rel=1e-2)
