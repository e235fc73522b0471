"""Kernels, by role, of every library's layers."""

from typing import Any

import equinox as eqx
import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from penalties import L1, kernels

PENALTY = L1(1.0)


def numbered(params: Any) -> Any:
    """The arrays filled with 1, 2, 3, ..., so that a value tells which of them were counted."""
    if isinstance(params, nnx.Module):
        graph, state = nnx.split(params)
        return nnx.merge(graph, numbered(state))
    leaves, structure = jax.tree.flatten(params)
    return structure.unflatten([jnp.full(x.shape, i, x.dtype) for i, x in enumerate(leaves, start=1)])


def sum_by_name(leaves: dict[tuple[str, ...], Any], *names: str) -> float:
    return sum(float(jnp.sum(x)) for path, x in leaves.items() if path[-1] in names)


def linen(module: nn.Module, *args: Any) -> Any:
    return numbered(jax.eval_shape(module.init, jax.random.key(0), *args))


SEQUENCE = jnp.ones((1, 3, 4))


class Layers(nn.Module):
    @nn.compact
    def __call__(self, x, _):
        return nn.Dense(4)(x), None


def stacked() -> nn.Module:
    return nn.scan(Layers, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)()


@pytest.mark.parametrize(
    ("module", "args", "count"),
    [
        (nn.Dense(2), (SEQUENCE,), 1),
        (nn.Conv(2, (2,)), (SEQUENCE,), 1),
        (nn.Embed(5, 2), (jnp.zeros(2, jnp.int32),), 1),
        (nn.RNN(nn.LSTMCell(2)), (SEQUENCE,), 8),
        (nn.MultiHeadDotProductAttention(2), (SEQUENCE, SEQUENCE), 4),
        (stacked(), (SEQUENCE, None), 1),
    ],
    ids=["Dense", "Conv", "Embed", "LSTM", "MultiHeadAttention", "stacked"],
)
def test_kernels_of_linen(module, args, count):
    params = linen(module, *args)["params"]
    leaves = flax.traverse_util.flatten_dict(params)
    assert PENALTY.on(kernels)(params) == sum_by_name(leaves, "kernel", "embedding")
    assert len([path for path in leaves if path[-1] in ("kernel", "embedding")]) == count


@pytest.mark.parametrize("module", [nn.BatchNorm(True), nn.LayerNorm(), nn.GroupNorm(2), nn.RMSNorm()])
def test_norms_of_linen_have_no_kernels(module):
    with pytest.raises(ValueError, match="matches none"):
        PENALTY.on(kernels)(linen(module, SEQUENCE))


def test_biases_of_two_axes_are_no_kernels():
    attention = linen(nn.MultiHeadDotProductAttention(2), SEQUENCE, SEQUENCE)
    assert attention["params"]["query"]["bias"].ndim == 2
    layers = linen(stacked(), SEQUENCE, None)
    assert {x.ndim for x in jax.tree.leaves(layers)} == {2, 3}
    for variables in (attention, layers):
        z = PENALTY.on(kernels).prox(variables["params"])
        biases = [
            z_leaf is leaf
            for (path, z_leaf), leaf in zip(
                flax.traverse_util.flatten_dict(z).items(), jax.tree.leaves(variables), strict=True
            )
            if path[-1] == "bias"
        ]
        assert biases
        assert all(biases)


def stacked_nnx(rngs: nnx.Rngs) -> nnx.Module:
    @nnx.split_rngs(splits=3)
    @nnx.vmap(in_axes=(0,), out_axes=0)
    def make(rngs):
        return nnx.Linear(2, 2, rngs=rngs)

    return make(rngs)


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda rngs: nnx.Linear(2, 2, rngs=rngs), 1),
        (lambda rngs: nnx.Conv(2, 2, (2,), rngs=rngs), 1),
        (lambda rngs: nnx.Embed(3, 2, rngs=rngs), 1),
        (lambda rngs: nnx.LSTMCell(2, 2, rngs=rngs), 8),
        (lambda rngs: nnx.MultiHeadAttention(2, 4, decode=False, rngs=rngs), 4),
        (lambda rngs: nnx.LoRA(3, 2, 3, rngs=rngs), 2),
        (stacked_nnx, 1),
    ],
    ids=["Linear", "Conv", "Embed", "LSTM", "MultiHeadAttention", "LoRA", "stacked"],
)
def test_kernels_of_nnx(make, count):
    model = numbered(make(nnx.Rngs(0)))
    leaves = {path: x[...] for path, x in nnx.to_flat_state(nnx.state(model, nnx.Param))}
    names = ("kernel", "embedding", "lora_a", "lora_b")
    assert PENALTY.on(kernels)(model) == sum_by_name(leaves, *names)
    assert len([path for path in leaves if path[-1] in names]) == count


@pytest.mark.parametrize("norm", [nnx.BatchNorm, nnx.LayerNorm, nnx.RMSNorm])
def test_norms_of_nnx_have_no_kernels(norm):
    with pytest.raises(ValueError, match="matches none"):
        PENALTY.on(kernels)(norm(2, rngs=nnx.Rngs(0)))


@pytest.mark.parametrize(
    ("layer", "count"),
    [
        (lambda key: eqx.nn.Linear(2, 3, key=key), 1),
        (lambda key: eqx.nn.Conv2d(2, 3, 2, key=key), 1),
        (lambda key: eqx.nn.Embedding(3, 2, key=key), 1),
        (lambda key: eqx.nn.MultiheadAttention(2, 4, key=key), 4),
        (lambda key: eqx.nn.LSTMCell(2, 3, key=key), 2),
        (lambda key: eqx.nn.MLP(2, 2, 3, 2, key=key), 3),
    ],
    ids=["Linear", "Conv2d", "Embedding", "MultiheadAttention", "LSTMCell", "MLP"],
)
def test_kernels_of_equinox(layer, count):
    model = layer(jax.random.key(0))
    weights = [
        x
        for path, x in jax.tree_util.tree_leaves_with_path(eqx.filter(model, eqx.is_inexact_array))
        if "weight" in jax.tree_util.keystr(path[-1:])
    ]
    assert len(weights) == count
    expected = sum(float(jnp.sum(jnp.abs(w))) for w in weights)
    np.testing.assert_allclose(PENALTY.on(kernels)(model), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "norm",
    [eqx.nn.LayerNorm((2, 3)), eqx.nn.LayerNorm(3), eqx.nn.RMSNorm((2, 3)), eqx.nn.GroupNorm(2, 4)],
    ids=["LayerNorm_2d", "LayerNorm", "RMSNorm", "GroupNorm"],
)
def test_norms_of_equinox_have_no_kernels(norm):
    for params in (norm, {"layers": [norm]}):
        with pytest.raises(ValueError, match="matches none"):
            PENALTY.on(kernels)(params)


def test_kernels_of_haiku():
    ones = jnp.ones((2, 2))
    params = {
        "mlp/~/linear_0": {"w": ones, "b": jnp.ones(2)},
        "lstm/linear": {"w": ones, "b": jnp.ones(2)},
        "embed": {"embeddings": ones},
        "layer_norm": {"scale": jnp.ones(2), "offset": jnp.ones(2)},
    }
    assert PENALTY.on(kernels)(params) == 12


def test_kernels_of_keras():
    ones = jnp.ones((2, 2))
    params = {
        "dense/kernel": ones,
        "dense/bias": jnp.ones(2),
        "lstm/lstm_cell/kernel": ones,
        "lstm/lstm_cell/recurrent_kernel": ones,
        "lstm/lstm_cell/bias": jnp.ones(2),
        "gru/gru_cell/bias": ones,  # two axes: reset_after
        "embedding/embeddings": ones,
        "separable/depthwise_kernel": ones,
        "separable/pointwise_kernel": ones,
        "norm/gamma": jnp.ones(2),
        "norm/beta": jnp.ones(2),
        "norm/moving_mean": jnp.ones(2),
    }
    assert PENALTY.on(kernels)(params) == 6 * 4
