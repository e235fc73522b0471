"""A network, its params, and inputs for it."""

from typing import Any, NamedTuple

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

KEY = jax.random.key(0)


class Case(NamedTuple):
    fn: Any
    params: Any  # None: `fn` is a model that holds them
    inputs: Any  # batch size -> inputs
    stays: tuple[int, ...] = ()  # classes whose units are not dead though what makes them is 0


def floats(*shape: int) -> Any:
    return lambda batch: (np.random.default_rng(1).normal(size=(batch, *shape)).astype(np.float32),)


def tokens(length: int, count: int) -> Any:
    return lambda batch: (np.random.default_rng(1).integers(0, count, (batch, length)).astype(np.int32),)


def filled(shapes: Any) -> Any:
    """Random weights of these shapes: initializers take seconds to compile."""
    rng = np.random.default_rng(0)

    def fill(x: Any) -> Any:
        if not isinstance(x, jax.ShapeDtypeStruct):
            return x
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jnp.broadcast_to(KEY, x.shape)
        if len(x.shape) < 2:  # variances among them, and counters
            return jnp.asarray(rng.uniform(0.1, 1, x.shape), x.dtype)
        return jnp.asarray(rng.normal(size=x.shape) * x.shape[-2] ** -0.5, x.dtype)

    return jax.tree.map(fill, shapes)


def of_nnx(kind: Any, inputs: Any) -> Case:
    graph, shapes = nnx.split(nnx.eval_shape(lambda: kind(nnx.Rngs(0))))
    return Case(nnx.merge(graph, filled(shapes)), None, inputs)


def of_linen(module: nn.Module, inputs: Any) -> Case:
    return Case(module, filled(jax.eval_shape(module.init, KEY, *inputs(2))), inputs)


def of_equinox(kind: Any, inputs: Any) -> Case:
    return Case(batched, filled(eqx.filter_eval_shape(kind, KEY)), inputs)


def normal(*shape: int, seed: int = 0) -> Any:
    scale = shape[-2] ** -0.5 if len(shape) > 1 else 0.1
    return (scale * np.random.default_rng((seed, *shape)).normal(size=shape)).astype(np.float32)


def batched(model, x):
    return jax.vmap(model)(x)
