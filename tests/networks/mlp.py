"""One hidden layer, and inputs for it."""

import jax
import numpy as np


def mlp(params, x):
    h = jax.nn.relu(x @ params["a"] + params["b"])
    return h @ params["c"] + params["d"]


X = np.random.default_rng(2).normal(size=(4, 3)).astype(np.float32)
