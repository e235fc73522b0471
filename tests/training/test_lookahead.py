"""optax.lookahead and exact zeros: around `penalized`, and when its zeros can be had."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn import linear_model

from penalties import L1, keep_zeros, penalized

from problems import design, lenient

PARAMS = {"w": jnp.ones(3)}
PERIOD = 6


@pytest.mark.parametrize(
    "params", [PARAMS, optax.LookaheadParams.init_synced(PARAMS)], ids=["plain", "synced"]
)
@pytest.mark.parametrize("wrap", [lambda inner: inner, lambda inner: optax.chain(optax.clip(1.0), inner)])
def test_inside_it_is_refused_and_the_error_says_what_to_write(params, wrap):
    inner = lenient(optax.lookahead(optax.sgd(0.1), PERIOD, 0.5))
    with pytest.raises(TypeError, match=r"`optax\.lookahead\(penalized\(optimizer, penalty\), \.\.\.\)`"):
        penalized(wrap(inner), L1(0.1)).init(params)


def test_the_zeros_are_there_before_a_synchronization_and_gone_after_it():
    x, truth, rng = design(0, 80, 30, badly_scaled=False)
    x, y = jnp.asarray(x, jnp.float32), jnp.asarray(x @ truth + 0.5 * rng.normal(size=80), jnp.float32)
    optimizer = lenient(optax.lookahead(penalized(optax.sgd(0.05), L1(0.5)), PERIOD, 0.5))

    @jax.jit
    def step(params, state):
        grads = jax.grad(lambda w: jnp.mean((x @ w - y) ** 2))(params.fast)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    params = optax.LookaheadParams.init_synced(jnp.ones(30))
    state = optimizer.init(params)
    kept = {}
    for _ in range(20 * PERIOD):
        params, state = step(params, state)
        kept[int(state.steps_since_sync)] = np.asarray(keep_zeros(params.slow, params.fast))
    assert np.sum(kept[PERIOD - 1] == 0) > 15
    assert np.sum(kept[0] == 0) == 0
    lasso = linear_model.Lasso(alpha=0.25, fit_intercept=False).fit(np.asarray(x), np.asarray(y)).coef_
    np.testing.assert_array_equal(kept[PERIOD - 1] != 0, lasso != 0)
    for promised in ("steps_since_sync", "sync_period − 1"):
        assert promised in keep_zeros.__doc__
