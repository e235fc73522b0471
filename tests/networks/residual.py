"""A residual network with norms in plain JAX, and inputs for it."""

import jax
import jax.numpy as jnp
import numpy as np


def residual(p, x):
    h = x @ p["embed"]
    for k in ("1", "2"):
        z = h @ p[f"up{k}"]
        z = (z - jnp.mean(z, 0, keepdims=True)) / jnp.sqrt(jnp.var(z, 0, keepdims=True) + 1e-2)
        z = jax.nn.relu(z * p[f"scale{k}"][None] + p[f"shift{k}"][None])
        h = h + z @ p[f"down{k}"] + p[f"bias{k}"][None]
    return h @ p["head"]


def _filled(**shapes):
    rng = np.random.default_rng(0)
    random = {name: rng.normal(size=shape) / np.sqrt(shape[0]) for name, shape in shapes.items()}
    return {name: jnp.asarray(w, jnp.float32) for name, w in random.items()}


_BLOCK = {"up": (8, 10), "scale": (10,), "shift": (10,), "down": (10, 8), "bias": (8,)}
PARAMS = _filled(
    embed=(4, 8),
    head=(8, 1),
    **{f"{name}{k}": shape for k in "12" for name, shape in _BLOCK.items()},
)
X = np.random.default_rng(1).normal(size=(64, 4)).astype(np.float32)
