"""Params of every kind of tree."""

from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.core import FrozenDict

PARAMS = {"dense": {"kernel": jnp.array([[3.0, 0.0], [0.0, -1.0]]), "bias": jnp.zeros(2)}}


class LinenNet(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.Dense(3, kernel_init=nn.with_partitioning(nn.initializers.ones, ("in", "out")))(x)
        return nn.BatchNorm(use_running_average=True)(x)


class NNXNet(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.first = nnx.Linear(2, 3, rngs=rngs)
        self.tied = self.first
        self.norm = nnx.BatchNorm(3, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.activation = jnp.tanh


def linen_variables() -> Any:
    return LinenNet().init(jax.random.key(0), jnp.ones((1, 2)))


TREES = {
    "dict": lambda: PARAMS,
    "frozen": lambda: FrozenDict(PARAMS),
    "list": lambda: [jnp.ones(2), [jnp.zeros(3)]],
    "array": lambda: jnp.array([0.0, 1.0]),
    "numpy": lambda: {"a": np.ones(3, np.float32), "b": 2.0},
    "linen variables": linen_variables,
    "linen params": lambda: linen_variables()["params"],
    "nnx module": NNXNet,
    "nnx state": lambda: nnx.state(NNXNet()),
    "nnx params": lambda: nnx.state(NNXNet(), nnx.Param),
    "equinox": lambda: eqx.nn.MLP(2, 1, 3, 1, key=jax.random.key(0)),
    "complex": lambda: {"a": jnp.array([3 + 4j, 0j])},
    "bfloat16": lambda: {"a": jnp.array([0.5, 0.0], jnp.bfloat16)},
    "several arrays in a box": lambda: {"p": nnx.Param({"a": jnp.ones(3), "b": jnp.zeros(2)})},
    "empty": dict,
    "empty leaf": lambda: {"a": jnp.zeros((0, 3))},
}
