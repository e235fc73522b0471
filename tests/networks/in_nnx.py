"""Networks in Flax NNX."""

import jax.numpy as jnp
from flax import nnx

from networks.case import normal


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
