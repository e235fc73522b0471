"""A small training run that is the same each time, to be repeated often: 16 features, of which 4 matter."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from penalties import L1, GroupLasso, Penalty, penalized

FEATURES, USED, UNITS, BATCH = 16, 4, 32, 32


def penalty(strength: float = 0.02) -> Penalty:
    """Features leave as groups, weights of the last layer one by one."""
    return GroupLasso(strength, axis=0).on("hidden/kernel") + L1(strength).on("out/kernel")


# A rate that falls, for with a constant one weights at the border come and go for ever.
OPTIMIZER = penalized(optax.adam(optax.exponential_decay(1e-3, 10_000, 0.5)), penalty())


def start() -> tuple[Any, Any]:
    """Params and state before the first step, on a device as what is restored is: one program for both."""
    return jax.device_put(_start(), jax.devices()[0])


@jax.jit
def _start() -> tuple[Any, Any]:
    hidden, out = jax.random.split(jax.random.key(0))
    params = {
        "hidden": {
            "kernel": jax.random.normal(hidden, (FEATURES, UNITS)) / FEATURES**0.5,
            "bias": jnp.zeros(UNITS),
        },
        "out": {"kernel": jax.random.normal(out, (UNITS, 1)) / UNITS**0.5, "bias": jnp.zeros(1)},
    }
    return params, OPTIMIZER.init(params)


def loss(params: Any, key: jax.Array) -> jax.Array:
    """On a batch drawn from the key."""
    of_x, of_noise = jax.random.split(key)
    x = jax.random.normal(of_x, (BATCH, FEATURES))
    y = jnp.sum(jnp.sin(x[:, :USED]), axis=1, keepdims=True) + 0.1 * jax.random.normal(of_noise, (BATCH, 1))
    hidden = jnp.tanh(x @ params["hidden"]["kernel"] + params["hidden"]["bias"])
    return jnp.mean((hidden @ params["out"]["kernel"] + params["out"]["bias"] - y) ** 2)


@jax.jit
def step(params: Any, state: Any) -> tuple[Any, Any]:
    """One step; its batch is drawn from the number of the step, so that every run sees the same."""
    grads = jax.grad(loss)(params, jax.random.fold_in(jax.random.key(1), state.penalty_step))
    updates, state = OPTIMIZER.update(grads, state, params)
    return optax.apply_updates(params, updates), state
