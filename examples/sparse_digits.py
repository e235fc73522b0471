"""Handwritten digits by two small networks, most of whose weights, or whole neurons, are exactly zero.

An MLP and a CNN are trained without a penalty, with L1 written into the loss by hand, and with
`penalized(adam, ...)`: L1 sets single weights to zero, GroupLasso whole neurons and filters. What you
will see: the same accuracy, nine of ten weights exactly zero (the hand-written L1 has none), and a
network that can be cut to its living neurons and computes the same.

The output layer is left out of the group penalty: its groups would be the ten digits. Accuracies are
means over the seeds, on the same 500 test images; one image is 0.2 points.
"""

import argparse
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import optax
from flax import nnx
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from penalties import L1, GroupLasso, kernels, optimality, penalized, sparsity

mpl.use("Agg")
import matplotlib.pyplot as plt

console = Console()
BATCH = 64


class MLP(nnx.Module):
    """64 pixels, two hidden layers, 10 digits."""

    def __init__(self, rngs):
        self.first = nnx.Linear(64, 300, rngs=rngs)
        self.second = nnx.Linear(300, 100, rngs=rngs)
        self.out = nnx.Linear(100, 10, rngs=rngs)

    def __call__(self, x):
        h = jax.nn.relu(self.first(x.reshape(len(x), -1)))
        return self.out(jax.nn.relu(self.second(h)))


class CNN(nnx.Module):
    """A convolution of 32 filters, a hidden layer, 10 digits."""

    def __init__(self, rngs):
        self.first = nnx.Conv(1, 32, (3, 3), padding="VALID", rngs=rngs)
        self.second = nnx.Linear(288, 100, rngs=rngs)
        self.out = nnx.Linear(100, 10, rngs=rngs)

    def __call__(self, x):
        h = nnx.max_pool(jax.nn.relu(self.first(x[..., None])), (2, 2), (2, 2))
        return self.out(jax.nn.relu(self.second(h.reshape(len(x), -1))))


STRENGTHS = {MLP: {"L1": 5e-4, "GroupLasso": 5e-4}, CNN: {"L1": 5e-4, "GroupLasso": 3e-4}}


def digits():
    """Images of 8 by 8 pixels in [0, 1] and their labels: 1,297 to learn from, 500 to test on."""
    x, y = load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8).astype(np.float32) / 16
    split = train_test_split(x, y, test_size=500, random_state=0, stratify=y)
    return tuple(map(jnp.asarray, split))


def methods(strengths):
    """Name: the penalty written into the loss, the penalty given to `penalized`."""
    l1 = L1(strengths["L1"]).on(kernels)
    group = GroupLasso(strengths["GroupLasso"]).on(kernels, exclude="out/**")
    return {
        "no penalty": (None, None),
        "L1 in the loss, by hand": (l1, None),
        "penalized, L1": (None, l1),
        "penalized, GroupLasso": (None, group),
    }


def train(network, in_loss, penalty, data, *, steps, seeds, chunks=10, report=lambda *_: None):
    """The trained params of each seed, and the graph that makes them a model."""
    x, _, y, _ = data
    adam = optax.adam(optax.cosine_decay_schedule(3e-3, steps))
    optimizer = adam if penalty is None else penalized(adam, penalty)
    graph, _ = nnx.split(network(nnx.Rngs(0)), nnx.Param)

    def loss(params, rows):
        logits = nnx.merge(graph, params)(x[rows])
        data_loss = optax.softmax_cross_entropy_with_integer_labels(logits, y[rows]).mean()
        return data_loss if in_loss is None else data_loss + in_loss(params)

    def step(carry, key):
        params, state = carry
        grads = jax.grad(loss)(params, jax.random.randint(key, (BATCH,), 0, len(x)))
        updates, state = optimizer.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), None

    def start(seed):
        params = nnx.split(network(nnx.Rngs(params=jax.random.key(seed))), nnx.Param)[1]
        return params, optimizer.init(params)

    def advance(carry, key):
        (params, state), _ = jax.lax.scan(step, carry, jax.random.split(key, steps // chunks))
        return (params, state), sparsity(params, kernels).share

    # One seed after the other within one compiled run: XLA on CPU is slow at convolutions under vmap.
    carry = jax.jit(lambda all_: jax.lax.map(start, all_))(jnp.arange(seeds))
    advance_all = jax.jit(lambda carry, keys: jax.lax.map(lambda one: advance(*one), (carry, keys)))
    for chunk in range(chunks):
        keys = jax.random.split(jax.random.key(chunk), seeds)
        carry, zeros = advance_all(carry, keys)
        report(steps // chunks, float(zeros.mean()))
    every = jnp.arange(len(x))
    distance = float("nan")
    if penalty is not None:
        first = jax.tree.map(lambda leaf: leaf[0], carry[0])
        distance = float(optimality(penalty, first, jax.grad(loss)(first, every)).norm)
    return graph, carry[0], distance


def each(params):
    """The params of one seed after the other."""
    for seed in range(len(jax.tree.leaves(params)[0])):
        yield jax.tree.map(lambda leaf, seed=seed: leaf[seed], params)


def accuracy(graph, params, x, y):
    return float(jnp.mean(nnx.merge(graph, params)(x).argmax(-1) == y))


def kernel_of(params, layer):
    """The kernel of a layer as an array."""
    return np.asarray(params[layer]["kernel"][...])


def dead(params):
    """How many units of each hidden layer have no weight left but exact zeros, and how many there are."""
    counts = {}
    for layer in params:
        if layer != "out":
            columns = kernel_of(params, layer).reshape(-1, kernel_of(params, layer).shape[-1])
            counts[layer] = (int((columns == 0).all(0).sum()), columns.shape[-1])
    return counts


def cut(params):
    """An MLP without its dead neurons, as (kernel, bias) of each layer; it computes the same.

    A dead neuron still gives a constant, relu of its bias, which moves into the next layer's bias.
    """
    layers = [(kernel_of(params, n), np.asarray(params[n]["bias"][...])) for n in ("first", "second", "out")]
    for i in range(2):
        (kernel, bias), (after, after_bias) = layers[i], layers[i + 1]
        alive = (kernel != 0).any(0)
        constant = np.maximum(bias[~alive], 0) @ after[~alive]
        layers[i], layers[i + 1] = (kernel[:, alive], bias[alive]), (after[alive], after_bias + constant)
    return layers


def run_cut(layers, x):
    h = np.asarray(x).reshape(len(x), -1)
    for kernel, bias in layers[:-1]:
        h = np.maximum(h @ kernel + bias, 0)
    return h @ layers[-1][0] + layers[-1][1]


def compare(network, data, steps, seeds, progress):
    """One row for each method: its name, params, graph, accuracy, zeros, dead units, seconds."""
    _, x_test, _, y_test = data
    rows = {}
    for name, (in_loss, penalty) in methods(STRENGTHS[network]).items():
        label = f"{network.__name__}, {name}"
        task = progress.add_task(label, total=steps)

        def report(done, zeros, task=task, label=label):
            progress.update(task, advance=done, description=f"{label}: {zeros:.0%} exact zeros")

        begun = time.perf_counter()
        graph, params, distance = train(
            network, in_loss, penalty, data, steps=steps, seeds=seeds, report=report
        )
        seconds = time.perf_counter() - begun
        runs = list(each(params))
        rows[name] = {
            "graph": graph,
            "params": runs[0],
            "accuracy": [accuracy(graph, p, x_test, y_test) for p in runs],
            "zeros": float(np.mean([sparsity(p, kernels).share for p in runs])),
            "dead": dead(runs[0]),
            "distance": distance,
            "seconds": seconds,
        }
    return rows


def show(network, rows):
    table = Table(
        title=f"{network.__name__}: {len(next(iter(rows.values()))['accuracy'])} seeds, 500 test images"
    )
    table.add_column("trained with", no_wrap=True)
    for column in (
        "test accuracy",
        "exact zeros",
        "dead units, by layer",
        "distance from optimum",
        "seconds",
    ):
        table.add_column(column, justify="right")
    for name, row in rows.items():
        accuracies = 100 * np.array(row["accuracy"])
        units = ", ".join(f"{gone} of {all_}" for gone, all_ in row["dead"].values())
        table.add_row(
            name,
            f"{accuracies.mean():.1f} ± {accuracies.std():.1f} %",
            f"{row['zeros']:.1%}",
            units,
            "" if np.isnan(row["distance"]) else f"{row['distance']:.3f}",
            f"{row['seconds']:.0f}",
        )
    console.print(table)


def show_cut(row, x_test):
    """Cuts the dead neurons off and says how large the network is then, and how far its outputs are."""
    layers = cut(row["params"])
    whole = np.asarray(nnx.merge(row["graph"], row["params"])(x_test))
    difference = np.abs(run_cut(layers, x_test) - whole).max() / np.abs(whole).max()
    shape = "-".join(str(n) for n in (layers[0][0].shape[0], *(kernel.shape[1] for kernel, _ in layers)))
    size = sum(kernel.size + bias.size for kernel, bias in layers)
    full = sum(leaf.size for leaf in jax.tree.leaves(row["params"]))
    console.print(
        f"Without its dead neurons the MLP of GroupLasso is {shape}: {size:,} numbers of {full:,}; "
        f"its outputs differ by {difference:.0e} of the largest."
    )
    return difference


def caption(row):
    """The share of exact zeros as the table has it, of all kernels, and that of the layer in the picture."""
    first = np.mean(kernel_of(row["params"], "first") == 0)
    return f"exactly zero: {row['zeros']:.1%}, {first:.1%} in this layer"


def draw(rows, path):
    """The first layer's weights, neuron by neuron; what is exactly zero is white."""
    shown = ("no penalty", "L1 in the loss, by hand", "penalized, L1", "penalized, GroupLasso")
    figure, axes = plt.subplots(1, 4, figsize=(15, 5.3))
    colours = mpl.colormaps["RdBu_r"].copy()
    colours.set_bad("white")
    for ax, name in zip(axes, shown, strict=True):
        kernel = kernel_of(rows[name]["params"], "first")[:, :100]  # (64, neurons)
        tiles = np.full((10 * 9 + 1, 10 * 9 + 1), np.nan)
        for i, unit in enumerate(kernel.T):
            row, column = 1 + 9 * (i // 10), 1 + 9 * (i % 10)
            tiles[row : row + 8, column : column + 8] = np.where(unit == 0, np.nan, unit).reshape(8, 8)
        # By rank, so that weights near zero are seen to be there: that is the point.
        size = np.abs(tiles)
        scale = np.nanmax(size)
        ax.imshow(np.sign(tiles) * (0.25 + 0.75 * np.sqrt(size / scale)), cmap=colours, vmin=-1, vmax=1)
        for line in range(11):
            ax.axhline(9 * line, color="0.8", linewidth=0.6)
            ax.axvline(9 * line, color="0.8", linewidth=0.6)
        accuracy_ = 100 * np.mean(rows[name]["accuracy"])
        ax.set_title(f"{name}\n{caption(rows[name])}\n{accuracy_:.1f} % right", fontsize=12)
        ax.set_xticks([])
        ax.set_yticks([])
    figure.suptitle("100 neurons of the first layer: white is exactly zero", fontsize=16, fontweight="bold")
    figure.text(
        0.5,
        0.02,
        "each square is a neuron's 8×8 weights; red positive, blue negative",
        ha="center",
        fontsize=11,
    )
    figure.tight_layout(rect=(0, 0.05, 1, 0.98))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2_500)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="few steps, one seed: to see that it runs")
    arguments = parser.parse_args()
    steps, seeds = (100, 1) if arguments.quick else (arguments.steps, arguments.seeds)
    data = digits()
    with Progress(console=console) as progress:
        tables = {network: compare(network, data, steps, seeds, progress) for network in (MLP, CNN)}
    for network, rows in tables.items():
        show(network, rows)
    show_cut(tables[MLP]["penalized, GroupLasso"], data[1])
    draw(tables[MLP], Path("sparse_digits.png"))
    console.print("The picture: sparse_digits.png")


if __name__ == "__main__":
    main()
