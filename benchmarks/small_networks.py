"""Networks for digits of 8 × 8, small enough to train hundreds of at once: lists of kernels and biases."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


class SmallNetwork(NamedTuple):
    """What a network is: params from a seed, and logits from params and images."""

    name: str
    shapes: tuple[tuple[int, ...], ...]
    logits: Callable[[Any, Array], Array]

    def init(self, seed: Array) -> Any:
        keys = jax.random.split(jax.random.key(seed), len(self.shapes))
        initial = jax.nn.initializers.lecun_normal()
        return [
            {"kernel": initial(key, shape), "bias": jnp.zeros(shape[-1])}
            for key, shape in zip(keys, self.shapes, strict=True)
        ]


def mlp_logits(params: Any, x: Array) -> Array:
    *hidden, last = params
    for layer in hidden:
        x = jax.nn.relu(x @ layer["kernel"] + layer["bias"])
    return x @ last["kernel"] + last["bias"]


def cnn_logits(params: Any, x: Array) -> Array:
    """Two convolutions of 3 × 3, the second with a stride of 2, and two dense layers.

    Convolutions are products of patches: many networks at once are one batched product then.
    """
    first, second, *dense = params
    x = jax.nn.relu(_convolved(first, x.reshape(-1, 8, 8, 1), 1))
    x = jax.nn.relu(_convolved(second, x, 2))
    return mlp_logits(dense, x.reshape(len(x), -1))


def _convolved(layer: Any, x: Array, stride: int) -> Array:
    kernel = layer["kernel"]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    size = x.shape[1]
    shifts = [(i, j) for i in range(3) for j in range(3)]
    patches = jnp.stack(
        [padded[:, i : i + size : stride, j : j + size : stride] for i, j in shifts], 3
    )  # images, rows, columns, shifts, channels
    return jnp.einsum("nrcsi,sio->nrco", patches, kernel.reshape(9, *kernel.shape[2:])) + layer["bias"]


def mlp(*widths: int) -> SmallNetwork:
    """Dense layers with ReLU between them."""
    return SmallNetwork(f"MLP {'-'.join(map(str, widths))}", tuple(itertools.pairwise(widths)), mlp_logits)


MLP = mlp(64, 128, 64, 10)
CNN = SmallNetwork("CNN 12-24-64-10", ((3, 3, 1, 12), (3, 3, 12, 24), (384, 64), (64, 10)), cnn_logits)
