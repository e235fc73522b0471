"""Networks in Equinox."""

import equinox as eqx
import jax
import jax.numpy as jnp


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
