"""Strengths by the gradient of a held-out loss: one for each layer, or for each input.

    python examples/tuned_strengths.py            # about half a minute
    python examples/tuned_strengths.py --quick    # some seconds

A grid finds one strength, not twenty. But a penalty is a pytree whose leaves are its strengths: `jax.grad`
goes through a whole training, from the loss on held-out data back to each of them, for the price of a few
trainings. A network learns y = 10 sin(π·a·b) + 20 (c − ½)² + 10 d + 5 e from 150 samples of 20 columns, of
which 15 do nothing, under an L2: without it, with the best strength of a grid, with one for each layer, and
with one for each layer and each input. The last is strong on most of what does nothing, and leaves a, b and c
alone.

More strengths fit the held-out data more closely: what counts are the test data, which are looked at once.

Written to ./tuned_strengths.png: the held-out loss while strengths are tuned, and the strength of each input.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import optax
from rich.console import Console
from rich.table import Table

from penalties import L2, Penalty

mpl.use("Agg")
import matplotlib.pyplot as plt

FEATURES, UNITS = 20, 30
REAL = ("a", "b", "c", "d", "e")  # the first five columns
LAYERS = ("first", "second", "out")
START = 1e-3  # of every strength


class Data(NamedTuple):
    x: jax.Array
    y: jax.Array


def make_data(seed: int) -> list[Data]:
    """To train on, to choose strengths by, and to test on."""
    rng = np.random.default_rng(seed)
    x = rng.random((2_300, FEATURES))
    a, b, c, d, e = x.T[: len(REAL)]
    y = 10 * np.sin(np.pi * a * b) + 20 * (c - 0.5) ** 2 + 10 * d + 5 * e + rng.normal(size=len(x))
    x, y = jnp.asarray((x - 0.5) * 12**0.5, jnp.float32), jnp.asarray((y - 14.4) / 5, jnp.float32)
    return [Data(x[i:j], y[i:j]) for i, j in ((0, 150), (150, 300), (300, None))]


def init_network(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    shapes = zip(LAYERS, ((FEATURES, UNITS), (UNITS, UNITS), (UNITS, 1)), strict=True)
    return {
        layer: {
            "kernel": jnp.asarray(rng.normal(size=shape) / shape[0] ** 0.5, jnp.float32),
            "bias": jnp.zeros(shape[1]),
        }
        for layer, shape in shapes
    }


def loss(params: dict, data: Data) -> jax.Array:
    x = data.x
    for layer in LAYERS[:-1]:
        x = jnp.tanh(x @ params[layer]["kernel"] + params[layer]["bias"])
    outputs = x @ params["out"]["kernel"] + params["out"]["bias"]
    return jnp.mean((outputs[:, 0] - data.y) ** 2)


def penalty_of(log_strengths: dict) -> Penalty:
    """An L2 for each layer; a strength of shape (inputs, 1) is one for each row of a kernel."""
    return sum(L2(jnp.exp(s)).on(f"{layer}/kernel") for layer, s in log_strengths.items())


def train(log_strengths: dict, data: Data, steps: int) -> dict:
    penalty = penalty_of(log_strengths)
    # `eps_root` keeps the derivative of Adam's square root finite where a gradient is 0.
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, steps), eps_root=1e-8)

    def step(carry, _):
        params, state = carry
        gradient = jax.grad(lambda params: loss(params, data) + penalty(params))(params)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    params = init_network(0)
    return jax.lax.scan(step, (params, optimizer.init(params)), length=steps)[0][0]


def tune(log_strengths: dict, data: Data, held_out: Data, steps: int, looks: int) -> tuple[dict, list[float]]:
    """The strengths of the least held-out loss on the way of Adam, and the losses on that way."""
    optimizer = optax.adam(0.3)

    @jax.jit
    def look(log_strengths, state):
        value, gradient = jax.value_and_grad(lambda s: loss(train(s, data, steps), held_out))(log_strengths)
        updates, state = optimizer.update(gradient, state)
        return value, optax.apply_updates(log_strengths, updates), state

    state, values, best = optimizer.init(log_strengths), [], log_strengths
    for _ in range(looks):
        value, following, state = look(log_strengths, state)
        if not values or value < min(values):
            best = log_strengths
        values.append(float(value))
        log_strengths = following
    return best, values


def best_of_grid(grid: jax.Array, data: Data, held_out: Data, steps: int) -> dict:
    """The same strength for all layers: all trainings at once."""
    same = {layer: jnp.log(grid) for layer in LAYERS}
    values = jax.jit(jax.vmap(lambda s: loss(train(s, data, steps), held_out)))(same)
    return jax.tree.map(lambda s: s[jnp.argmin(values)], same)


def draw(values: dict[str, list[float]], each_input: np.ndarray, path: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
    for name, losses in values.items():
        left.plot(losses, label=name)
    left.set(xlabel="steps of the strengths", ylabel="held-out loss", yscale="log")
    left.set_title("One training a step, and its gradient")
    left.legend()
    colors = ["tab:blue" if i < len(REAL) else "lightgrey" for i in range(FEATURES)]
    right.bar(range(FEATURES), each_input, color=colors)
    right.axhline(START, color="black", linewidth=1, linestyle="--", label="where all began")
    right.set_xticks(range(FEATURES), [*REAL, *map(str, range(len(REAL), FEATURES))])
    right.set(yscale="log", xlabel="input", ylabel="strength of its L2")
    right.set_title("Grey inputs do nothing")
    right.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300, help="training steps of the network")
    parser.add_argument("--looks", type=int, default=40, help="steps of the strengths")
    parser.add_argument("--out", type=Path, default=Path("tuned_strengths.png"), help="the picture to write")
    parser.add_argument("--quick", action="store_true", help="100 training steps, 5 looks")
    args = parser.parse_args()
    steps, looks = (100, 5) if args.quick else (args.steps, args.looks)
    console = Console()
    data, held_out, test = make_data(seed=0)

    layers = {layer: jnp.full((), jnp.log(START), jnp.float32) for layer in LAYERS}
    starts = {
        "one for each layer": layers,
        "one for each layer and input": layers | {"first": jnp.full((FEATURES, 1), jnp.log(START))},
    }
    begun, seconds, values = time.perf_counter(), {}, {}
    tuned = {"none": {layer: jnp.full((), -jnp.inf) for layer in LAYERS}}
    tuned["the best of a grid of 24"] = best_of_grid(jnp.geomspace(1e-4, 1e-1, 24), data, held_out, steps)
    seconds["the best of a grid of 24"] = time.perf_counter() - begun
    for name, start in starts.items():
        with console.status(f"{name} ..."):
            begun = time.perf_counter()
            tuned[name], values[name] = tune(start, data, held_out, steps, looks)
            seconds[name] = time.perf_counter() - begun

    @jax.jit
    def losses(log_strengths):
        params = train(log_strengths, data, steps)
        return loss(params, held_out), loss(params, test)

    table = Table(title=f"An L2 on a network of {FEATURES} inputs, of which {len(REAL)} matter")
    table.add_column("strengths", no_wrap=True)
    for column in ("how many", "held-out loss", "test loss", "seconds"):
        table.add_column(column, justify="right")
    for name, log_strengths in tuned.items():
        many = sum(s.size for s in log_strengths.values()) if name in starts else int(name != "none")
        took = f"{seconds[name]:.1f}" if name in seconds else ""
        table.add_row(name, f"{many}", *(f"{value:.3f}" for value in losses(log_strengths)), took)
    console.print(table)
    each_input = np.exp(tuned["one for each layer and input"]["first"])[:, 0]
    draw(values, each_input, args.out)
    console.print(f"The picture: {args.out}")


if __name__ == "__main__":
    main()
