"""Small networks of many kinds, in four frameworks and in plain JAX."""

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


# NNX


class NNXMLP(nnx.Module):
    def __init__(self, rngs):
        self.first, self.second = nnx.Linear(5, 12, rngs=rngs), nnx.Linear(12, 8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.out = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x):
        return self.out(nnx.tanh(self.second(self.dropout(nnx.gelu(self.first(x))))))


class NNXCNN(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Conv(2, 6, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(6, rngs=rngs)
        self.second = nnx.Conv(6, 8, (3, 3), strides=2, padding="VALID", rngs=rngs)
        self.hidden, self.out = nnx.Linear(8, 9, rngs=rngs), nnx.Linear(9, 3, rngs=rngs)

    def __call__(self, x):
        x = nnx.max_pool(nnx.relu(self.norm(self.first(x))), (2, 2), (2, 2))
        x = nnx.avg_pool(nnx.relu(self.second(x)), (1, 1))
        return self.out(nnx.relu(self.hidden(x.reshape(len(x), -1))))


class NNXBlock(nnx.Module):
    def __init__(self, in_, out, stride, rngs):
        self.first = nnx.Conv(in_, out, (3, 3), strides=stride, use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(out, rngs=rngs)
        self.second = nnx.Conv(out, out, (3, 3), use_bias=False, rngs=rngs)
        self.norm2 = nnx.BatchNorm(out, rngs=rngs)
        self.project = nnx.Conv(in_, out, (1, 1), strides=stride, rngs=rngs) if in_ != out else None

    def __call__(self, x):
        y = self.norm2(self.second(nnx.relu(self.norm(self.first(x)))))
        return nnx.relu(y + (x if self.project is None else self.project(x)))


class NNXBottleneck(nnx.Module):
    def __init__(self, width, rngs):
        self.down = nnx.Conv(width, width // 2, (1, 1), use_bias=False, rngs=rngs)
        self.middle = nnx.Conv(width // 2, width // 2, (3, 3), use_bias=False, rngs=rngs)
        self.up = nnx.Conv(width // 2, width, (1, 1), use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(width, rngs=rngs)

    def __call__(self, x):
        return nnx.relu(x + self.norm(self.up(nnx.relu(self.middle(nnx.relu(self.down(x)))))))


class NNXResNet(nnx.Module):
    def __init__(self, rngs):
        self.stem = nnx.Conv(2, 6, (3, 3), rngs=rngs)
        self.blocks = nnx.List([NNXBlock(6, 6, 1, rngs), NNXBlock(6, 8, 2, rngs), NNXBottleneck(8, rngs)])
        self.out = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.out(x.mean((1, 2)))


class NNXTransformer(nnx.Module):
    """Pre-norm, as GPT-2's."""

    def __init__(self, rngs):
        self.embed = nnx.Embed(11, 8, rngs=rngs)
        self.position = nnx.Param(normal(1, 16, 8))
        self.norm, self.norm2 = nnx.LayerNorm(8, rngs=rngs), nnx.LayerNorm(8, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(4, 8, 16, decode=False, rngs=rngs)
        self.up, self.down = nnx.Linear(8, 10, rngs=rngs), nnx.Linear(10, 8, rngs=rngs)
        self.out = nnx.Linear(8, 11, rngs=rngs)

    def __call__(self, x):
        h = self.embed(x) + self.position[...][:, : x.shape[1]]
        h = h + self.attention(self.norm(h), mask=nnx.make_causal_mask(x))
        h = h + self.down(nnx.gelu(self.up(self.norm2(h))))
        return self.out(h)


class NNXRecurrent(nnx.Module):
    def __init__(self, rngs):
        self.rnn = nnx.RNN(nnx.OptimizedLSTMCell(4, 6, rngs=rngs))
        self.out = nnx.Linear(6, 3, rngs=rngs)

    def __call__(self, x):
        return self.out(self.rnn(x)[:, -1])


class NNXUNet(nnx.Module):
    def __init__(self, rngs):
        self.enter, self.deep, self.join = (
            nnx.Conv(in_, out, (3, 3), rngs=rngs) for in_, out in ((2, 6), (6, 8), (12, 6))
        )
        self.up = nnx.ConvTranspose(8, 6, (2, 2), strides=(2, 2), rngs=rngs)
        self.out = nnx.Conv(6, 1, (1, 1), rngs=rngs)

    def __call__(self, x):
        skip = nnx.relu(self.enter(x))
        deep = nnx.relu(self.deep(nnx.max_pool(skip, (2, 2), (2, 2))))
        return self.out(nnx.relu(self.join(jnp.concatenate([skip, self.up(deep)], -1))))


# Linen


class LinenGroups(nn.Module):
    """Grouped and depthwise convolutions, GroupNorm."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.GroupNorm(2)(nn.Conv(8, (3, 3))(x)))
        x = nn.Conv(8, (3, 3), feature_group_count=4)(x)
        x = nn.Conv(10, (1, 1))(nn.relu(x))
        x = nn.Conv(10, (3, 3), feature_group_count=10)(x)
        x = nn.relu(nn.BatchNorm(use_running_average=True)(nn.Conv(6, (1, 1))(x)))
        return nn.Dense(3)(nn.max_pool(x, (3, 3), (3, 3)).reshape(len(x), -1))


class LinenPostNorm(nn.Module):
    @nn.compact
    def __call__(self, x):
        h = nn.Embed(11, 8)(x)
        h = nn.LayerNorm()(h + nn.MultiHeadDotProductAttention(num_heads=2, qkv_features=8)(h))
        h = nn.LayerNorm()(h + nn.Dense(8)(nn.relu(nn.Dense(12)(h))))
        return nn.Dense(11)(h.mean(1))


class LinenScanBlock(nn.Module):
    @nn.compact
    def __call__(self, x, _):
        x = x + nn.MultiHeadDotProductAttention(num_heads=2, qkv_features=8)(nn.RMSNorm()(x))
        h = nn.RMSNorm()(x)
        h = nn.silu(nn.Dense(12, use_bias=False)(h)) * nn.Dense(12, use_bias=False)(h)
        return x + nn.Dense(8, use_bias=False)(h), None


class LinenScan(nn.Module):
    """Stacked layers under scan, with remat and SwiGLU."""

    @nn.compact
    def __call__(self, x):
        x = nn.Embed(11, 8)(x)
        stacked = nn.scan(
            nn.remat(LinenScanBlock), variable_axes={"params": 0}, split_rngs={"params": True}, length=3
        )
        return nn.Dense(11)(nn.RMSNorm()(stacked()(x, None)[0]))


class LinenGRU(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(nn.RNN(nn.GRUCell(6))(x)[:, -1])


class LinenMixer(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Conv(8, (2, 2), (2, 2))(x).reshape(len(x), -1, 8)
        y = nn.Dense(9)(nn.gelu(nn.Dense(10)(nn.LayerNorm()(x).swapaxes(1, 2)))).swapaxes(1, 2)
        x = x + y
        return nn.Dense(3)((x + nn.Dense(8)(nn.gelu(nn.Dense(12)(nn.LayerNorm()(x))))).mean(1))


# Equinox


class EqxAttention(eqx.Module):
    attention: eqx.nn.MultiheadAttention
    norm: eqx.nn.LayerNorm
    mlp: eqx.nn.MLP

    def __init__(self, key):
        self.attention = eqx.nn.MultiheadAttention(2, 8, key=key)
        self.norm = eqx.nn.LayerNorm(8)
        self.mlp = eqx.nn.MLP(8, 3, 10, 2, key=key)

    def __call__(self, x):
        h = jax.vmap(self.norm)(x)
        return jax.vmap(self.mlp)(x + self.attention(h, h, h)).mean(0)


class EqxGRU(eqx.Module):
    cell: eqx.nn.GRUCell
    out: eqx.nn.Linear

    def __init__(self, key):
        self.cell = eqx.nn.GRUCell(4, 6, key=key)
        self.out = eqx.nn.Linear(6, 3, key=key)

    def __call__(self, x):
        return self.out(jax.lax.scan(lambda h, x: (self.cell(x, h), None), jnp.zeros(6), x)[0])


class EqxCNN(eqx.Module):
    first: eqx.nn.Conv2d
    second: eqx.nn.Conv2d
    out: eqx.nn.Linear

    def __init__(self, key):
        self.first = eqx.nn.Conv2d(2, 6, 3, padding=1, key=key)
        self.second = eqx.nn.Conv2d(6, 6, 3, groups=6, key=key)
        self.out = eqx.nn.Linear(6 * 16, 3, key=key)

    def __call__(self, x):
        return self.out(jax.nn.relu(self.second(jax.nn.relu(self.first(x)))).reshape(-1))


def batched(model, x):
    return jax.vmap(model)(x)


# Keras


def keras_cnn() -> Any:
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(6, 3, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.SeparableConv2D(8, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(9, activation="gelu"),
            layers.Dense(3),
        ]
    )


def keras_transformer() -> Any:
    import keras

    layers = keras.layers
    x = keras.Input((6,))
    h = layers.Embedding(11, 8)(x)
    y = layers.RMSNormalization()(h)
    h = h + layers.GroupQueryAttention(4, 4, 2)(y, y)
    h = h + layers.Dense(8)(layers.Dense(12, activation="gelu")(layers.LayerNormalization()(h)))
    return keras.Model(x, layers.Dense(3)(h[:, 0]))


# Plain JAX


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

# The token mixing adds its bias to every channel. The centred variance of Keras's LayerNormalization sees
# a 0 in the stream. Heads without a query look at all positions alike, which is not nothing.
CASES = {
    "nnx mlp": lambda: of_nnx(NNXMLP, floats(5)),
    "nnx cnn": lambda: of_nnx(NNXCNN, floats(6, 6, 2)),
    "nnx resnet": lambda: of_nnx(NNXResNet, floats(6, 6, 2)),
    "nnx transformer": lambda: of_nnx(NNXTransformer, tokens(6, 11)),
    "nnx lstm": lambda: of_nnx(NNXRecurrent, floats(5, 4)),
    "nnx unet": lambda: of_nnx(NNXUNet, floats(8, 8, 2)),
    "linen groups": lambda: of_linen(LinenGroups(), floats(6, 6, 2)),
    "linen post-norm": lambda: of_linen(LinenPostNorm(), tokens(6, 11)),
    "linen scan": lambda: of_linen(LinenScan(), tokens(6, 11)),
    "linen gru": lambda: of_linen(LinenGRU(), floats(5, 4)),
    "linen mixer": lambda: of_linen(LinenMixer(), floats(6, 6, 2))._replace(stays=(0,)),
    "eqx attention": lambda: of_equinox(EqxAttention, floats(5, 8)),
    "eqx gru": lambda: of_equinox(EqxGRU, floats(5, 4)),
    "eqx cnn": lambda: of_equinox(EqxCNN, floats(2, 6, 6)),
    "keras cnn": lambda: Case(keras_cnn(), None, floats(8, 8, 2)),
    "keras transformer": lambda: Case(keras_transformer(), None, tokens(6, 11), stays=(0, 3)),
    "llama": lambda: Case(llama, LLAMA, tokens(6, 11), stays=(3,)),
    "experts": lambda: Case(experts, EXPERTS, floats(5)),
    "branches": lambda: Case(branches, BRANCHES, floats(5)),
}
