"""Networks in plain JAX."""

import jax
import jax.numpy as jnp
import numpy as np

from networks.case import normal


def rms_norm(x, scale):
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6) * scale


def rotate(x):
    half = x.shape[-1] // 2
    angle = jnp.arange(x.shape[1], dtype=x.dtype)[:, None] * 0.1 ** jnp.arange(half, dtype=x.dtype)[None]
    cos, sin = (f(angle)[None, :, None] for f in (jnp.cos, jnp.sin))
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def llama(params, x):
    """RMSNorm, rotary positions, grouped-query attention, SwiGLU, tied embeddings."""
    h = params["embed"][x]
    y = rms_norm(h, params["norm"])
    q, k, v = (jnp.einsum("btd,dhk->bthk", y, params[n]) for n in "qkv")
    a = jax.nn.dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
    h = h + jnp.einsum("bthk,hkd->btd", a, params["o"])
    y = rms_norm(h, params["norm2"])
    h = h + (jax.nn.silu(y @ params["gate"]) * (y @ params["up"])) @ params["down"]
    return h @ params["embed"].T


LLAMA = {
    "embed": normal(11, 8),
    "norm": np.ones(8, np.float32),
    "norm2": np.ones(8, np.float32),
    "q": normal(8, 4, 6),
    "k": normal(8, 2, 6, seed=1),
    "v": normal(8, 2, 6, seed=2),
    "o": normal(4, 6, 8),
    "gate": normal(8, 12),
    "up": normal(8, 12, seed=1),
    "down": normal(12, 8),
}


def experts(params, x):
    """A mixture of experts with dense routing."""
    gates = jax.nn.softmax(x @ params["route"])
    h = jax.nn.relu(jnp.einsum("bd,edh->beh", x, params["in"]) + params["bias"][None])
    h = jnp.einsum("beh,eho->beo", h, params["out"])
    return jax.nn.tanh(jnp.einsum("beo,be->bo", h, gates)) @ params["last"]


EXPERTS = {
    "route": normal(5, 4),
    "in": normal(4, 5, 9),
    "bias": normal(4, 9),
    "out": normal(4, 9, 8),
    "last": normal(8, 3),
}


def branches(params, x):
    """A fused projection that is split again, gated, padded, stacked and summed."""
    a, b, c = jnp.split(x @ params["fused"], 3, axis=-1)
    h = jnp.pad(jax.nn.sigmoid(a) * b, ((0, 0), (2, 1)))
    h = jnp.stack([h[:, 2:-1], jax.nn.relu(c)]).sum(0)
    return h[:, ::-1] @ params["out"][::-1]


BRANCHES = {"fused": normal(5, 24), "out": normal(8, 3)}
