"""Random small networks, built from layers: equal outputs, whatever was killed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penalties import shrink

WIDTH = 6


def dense(rng, p, h):
    n = int(rng.choice([4, WIDTH]))
    p["w"], p["b"] = rng.normal(size=(h.shape[-1], n)), rng.normal(size=n)
    return lambda p, h: h @ p["w"] + p["b"]


def without_bias(rng, p, h):
    p["w"] = rng.normal(size=(h.shape[-1], WIDTH))
    return lambda p, h: h @ p["w"]


def activation(rng, p, h):
    function = [jnp.tanh, jax.nn.relu, jax.nn.silu, jax.nn.sigmoid, jnp.cos][rng.integers(5)]
    return lambda p, h: function(h)


def residual(rng, p, h):
    n = h.shape[-1]
    p["up"], p["down"] = rng.normal(size=(n, WIDTH)), rng.normal(size=(WIDTH, n))
    return lambda p, h: h + jnp.tanh(h @ p["up"]) @ p["down"]


def norm(rng, p, h):
    p["scale"], p["shift"] = rng.normal(size=h.shape[-1]), rng.normal(size=h.shape[-1])
    if rng.integers(2):
        return lambda p, h: h * jax.lax.rsqrt((h * h).mean(-1, keepdims=True) + 1) * p["scale"]
    return lambda p, h: (
        (h - h.mean(-1, keepdims=True)) / (1 + h.var(-1, keepdims=True)) * p["scale"] + p["shift"]
    )


def gate(rng, p, h):
    p["w"] = rng.normal(size=(h.shape[-1], 2 * WIDTH))

    def apply(p, h):
        a, b = jnp.split(h @ p["w"], 2, axis=-1)
        return a * jax.nn.sigmoid(b)

    return apply


def join(rng, p, h):
    p["w"] = rng.normal(size=(h.shape[-1], 3))
    return lambda p, h: jnp.concatenate([jax.nn.relu(h @ p["w"]), h, h[..., ::-1]], -1)


def cut(rng, p, h):
    n = h.shape[-1]
    start, step = int(rng.integers((n + 1) // 2)), int(rng.choice([1, 2]))
    return lambda p, h: h[..., start::step]


def heads(rng, p, h):
    p["q"], p["o"] = rng.normal(size=(h.shape[-1], 2, 3)), rng.normal(size=(2, 3, WIDTH))
    return lambda p, h: jnp.einsum("bhd,hdo->bo", jnp.einsum("bi,ihd->bhd", h, p["q"]) ** 2, p["o"])


def folded(rng, p, h):
    """Axes that are merged and cut elsewhere."""
    p["w"] = rng.normal(size=(h.shape[-1], 12))
    shape = [(3, 4), (2, 6), (2, 2, 3)][rng.integers(3)]
    axes = (0, *(1 + rng.permutation(len(shape))))
    return lambda p, h: (h @ p["w"]).reshape(-1, *shape).transpose(axes).reshape(-1, 12)


def maximum(rng, p, h):
    return lambda p, h: h - h.max(-1, keepdims=True)


def table(rng, p, h):
    p["t"] = rng.normal(size=(3, h.shape[-1]))
    return lambda p, h: h + p["t"][jnp.int32(h[:, 0] > 0)]


LAYERS = (dense, without_bias, activation, residual, norm, gate, join, cut, heads, folded, maximum, table)


def build(rng, kinds):
    """The network and its params: layer after layer, each fitted to the shape before it."""
    layers, params, h = [], [], jax.ShapeDtypeStruct((2, 3), jnp.float32)
    for kind in (dense, *kinds, dense):
        p: dict = {}
        layer = kind(rng, p, h)
        p = {name: np.asarray(x, np.float32) for name, x in p.items()}
        layers.append(layer)
        params.append(p)
        h = jax.eval_shape(layer, p, h)

    def network(params, x):
        for layer, p in zip(layers, params, strict=True):
            x = layer(p, x)
        return x

    return network, params


def kill(rng, params):
    """Zeros in whole rows and columns at random, by chance all that makes or reads a unit."""
    for p in params:
        dead = rng.permutation(32)[:20]
        for leaf in p.values():
            for axis, n in enumerate(leaf.shape):
                if rng.integers(3):
                    leaf[(slice(None),) * axis + (dead[dead < n],)] = 0
    return params


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from(LAYERS), min_size=2, max_size=6), st.booleans())
@settings(max_examples=20)
def test_the_outputs_are_the_same(seed, kinds, fold):
    rng = np.random.default_rng(seed)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        network, params = build(rng, kinds)
        params = kill(rng, params)
        small = shrink(network, params, np.ones((1, 3), np.float32), fold=fold)
        x = rng.normal(size=(5, 3)).astype(np.float32)
        both = lambda p, q, x: (network(p, x), small.apply(q, x))  # noqa: E731
        arguments = params, small.params, x
        fast = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
        large, cut = jax.jit(both).lower(*arguments).compile(fast)(*arguments)
    scale = np.abs(large).max()
    assert np.abs(large - cut).max() <= 2e-5 * scale or not np.isfinite(scale)
