"""Small convex problems, in float64, and functions that are shared so that they are compiled once."""

import jax
import jax.numpy as jnp
import numpy as np

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 8)) * np.geomspace(0.5, 2, 8)
TRUTH = np.array([2.0, -1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.5])
Y = X @ TRUTH + 3 + RNG.normal(size=40)
LABELS = (Y > 3).astype(float)


def squares(params, x, y):
    """Half of the mean squared error, as scikit-learn has it."""
    return jnp.mean((x @ params["w"] + params["b"] - y) ** 2) / 2


def log_loss(params, x, y):
    z = x @ params["w"] + params["b"]
    return jnp.mean(jax.nn.softplus(z) - y * z)


def zeros(features=8):
    return {"w": jnp.zeros(features), "b": jnp.zeros(())}
