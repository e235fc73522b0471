"""What a penalty adds to a training step of adam's: in the loss, in a chain, with exact zeros, with groups.

On CPU the update is bound by memory: XLA writes one array in each of its loops there, so that adam
passes over the weights 10 times (m, v and w are read and written, m and v read again for w, the
gradient twice), and penalized 18 times, for its loops for m and v also read w and the average. On
devices where XLA fuses loops with several outputs it is 9 passes for adam's 7.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from benchmarks.results import Row
from benchmarks.timing import Ratio, medians, show
from penalties import L1, GroupLasso, Penalty, add_penalty, penalized

Loss = Callable[[Any], Any]


class Recipe(NamedTuple):
    """An optimizer, and a penalty in the loss, if there is one."""

    optimizer: optax.GradientTransformation
    in_loss: Penalty | None = None


ADAM, IN_LOSS, CHAINED = "adam", "L1 in the loss", "chain(add_penalty(L1), adam)"
ZEROS, NARROW, GROUPS = (
    "penalized(adam, L1)",
    "penalized(adam, L1), average in bfloat16",
    "penalized(adam, GroupLasso)",
)
GOALS = {IN_LOSS: 1.03, CHAINED: 1.03, ZEROS: 1.05, NARROW: 1.05, GROUPS: 1.35}
GOALS_ALONE = {ZEROS: 1.3, NARROW: 1.15, GROUPS: 4.0}


def rivals(l1: float, groups: float, selection: str) -> dict[str, Recipe]:
    """Plain adam, and all ways to train it with a penalty."""
    adam = optax.adam(1e-3)
    lasso, group_lasso = L1(l1).on(selection), GroupLasso(groups).on(selection)
    return {
        ADAM: Recipe(adam),
        IN_LOSS: Recipe(adam, lasso),
        CHAINED: Recipe(optax.chain(add_penalty(lasso), adam)),
        ZEROS: Recipe(penalized(adam, lasso)),
        NARROW: Recipe(penalized(adam, lasso, accumulator_dtype=jnp.bfloat16)),
        GROUPS: Recipe(penalized(adam, group_lasso)),
    }


def stepping(recipe: Recipe, loss: Loss, params: Any) -> Callable[[], Any]:
    """A function that makes one jitted training step after another, buffers donated."""

    def objective(params: Any) -> Any:
        return loss(params) if recipe.in_loss is None else loss(params) + recipe.in_loss(params)

    return repeating(recipe.optimizer, jax.grad(objective), params)


def updating(recipe: Recipe, grads: Any, params: Any) -> Callable[[], Any]:
    """The same with fixed gradients. Weights are updated too: new memory for updates would take the time."""
    return repeating(recipe.optimizer, lambda params, grads: grads, params, grads)


def repeating(
    optimizer: optax.GradientTransformation, gradient: Callable[..., Any], params: Any, *inputs: Any
) -> Callable[[], Any]:
    @jax.jit
    def start(params):
        return jax.tree.map(jnp.copy, params), optimizer.init(params)

    def step(params, state, *inputs):
        updates, state = optimizer.update(gradient(params, *inputs), state, params)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(step, donate_argnums=(0, 1))
    carry = start(params)

    def once():
        nonlocal carry
        carry = compiled(*carry, *inputs)
        return carry

    return once


def against_adam(title: str, times: dict[str, float], goals: dict[str, float]) -> list[Row]:
    return show(title, [Ratio(name, ADAM, times[name], times[ADAM], goals[name]) for name in goals])


def check_the_same() -> None:
    """Strength 0 is no penalty, to the last bit, and one in the loss is the same as one in the chain."""
    params, grads = jnp.linspace(-1, 1, 100), jnp.sin(jnp.arange(100.0))
    plain, ours = optax.adam(1e-2), penalized(optax.adam(1e-2), L1(0.0))
    one = plain.update(grads, plain.init(params), params)[0]
    np.testing.assert_array_equal(one, ours.update(grads, ours.init(params), params)[0])
    ways = rivals(1e-2, 1e-2, "w")
    moved = [stepping(ways[way], loss_of_one, {"w": params})()[0]["w"] for way in (IN_LOSS, CHAINED)]
    np.testing.assert_allclose(*moved, rtol=1e-6)


def loss_of_one(params: Any) -> Any:
    return jnp.sum((params["w"] - 1) ** 2)


def deep_network(width: int, layers: int, batch: int) -> tuple[Any, Loss]:
    """Params of a deep network of square layers, and its loss on one batch."""
    keys = jax.random.split(jax.random.key(0), layers + 1)
    params = [
        {"kernel": jax.random.normal(k, (width, width)) / width**0.5, "bias": jnp.zeros(width)}
        for k in keys[1:]
    ]
    x = jax.random.normal(keys[0], (batch, width))

    def loss(params):
        h = x
        for layer in params:
            h = jax.nn.relu(h @ layer["kernel"] + layer["bias"])
        return jnp.mean((h - 1) ** 2)

    return params, loss


class Transformer(nn.Module):
    """Blocks of causal attention and of an MLP, on bytes."""

    width: int
    layers: int

    @nn.compact
    def __call__(self, tokens):
        h = nn.Embed(256, self.width)(tokens)
        mask = nn.make_causal_mask(tokens)
        for _ in range(self.layers):
            h = h + nn.MultiHeadDotProductAttention(num_heads=4)(nn.LayerNorm()(h), mask=mask)
            h = h + nn.Dense(self.width)(nn.gelu(nn.Dense(4 * self.width)(nn.LayerNorm()(h))))
        return nn.Dense(256)(nn.LayerNorm()(h))


def transformer(width: int, layers: int, batch: int, length: int) -> tuple[Any, Loss]:
    """Params of a Flax transformer, and its loss in telling the next of random bytes."""
    model = Transformer(width, layers)
    tokens = jax.random.randint(jax.random.key(0), (batch, length + 1), 0, 256)
    params = model.init(jax.random.key(1), tokens[:, :-1])

    def loss(params):
        logits = model.apply(params, tokens[:, :-1])
        return optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]).mean()

    return params, loss


def steps(title: str, network: tuple[Any, Loss], repeats: int) -> list[Row]:
    """A whole training step of each of them."""
    params, loss = network
    ways = {name: stepping(recipe, loss, params) for name, recipe in rivals(1e-5, 1e-5, "**/kernel").items()}
    return against_adam(f"a training step: {title}", medians(ways, repeats), GOALS)


def update_alone(weights: int, repeats: int) -> list[Row]:
    params = jax.random.normal(jax.random.key(0), (weights // 1000, 1000))
    params = {"w": jnp.where(jnp.abs(params) < 0.5, 0.0, params)}  # as in training, many are zero
    grads = {"w": jax.random.normal(jax.random.key(1), (weights // 1000, 1000))}
    ways = {
        name: updating(recipe, grads, params)
        for name, recipe in rivals(1e-3, 1e-3, "w").items()
        if name == ADAM or name in GOALS_ALONE
    }
    return against_adam(f"the update alone: {weights:,} weights", medians(ways, repeats), GOALS_ALONE)
