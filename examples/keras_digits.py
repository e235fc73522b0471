"""Handwritten digits in Keras: a network that loses most of its weights and none of its accuracy.

    KERAS_BACKEND=jax python examples/keras_digits.py            # under a minute; writes keras_digits.png
    KERAS_BACKEND=jax python examples/keras_digits.py --quick    # a few seconds

The same small network is trained on scikit-learn's 1,797 digits of 8 × 8 pixels in three ways: with
no penalty, with L1 as Keras has it (a regularizer, part of the loss), and with `Penalized`, an
optimizer around Adam. L1 in the loss makes weights small; only `Penalized` makes them exactly zero.

The network with zeros is then saved, loaded again, and shown to predict the same, to the last bit.
The picture shows what it learned: for each pixel, how many of its weights are left. Pixels at the
rim, which are blank in every digit, have none.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")  # before keras is imported

import keras
import matplotlib
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import penalties
import penalties.keras

matplotlib.use("agg")
import matplotlib.pyplot as plt

STRENGTH = 3e-4
SEED = 0


def digits():
    """Pixels in [0, 1] and labels, a quarter kept for the test."""
    x, y = load_digits(return_X_y=True)
    return train_test_split((x / 16).astype("float32"), y, test_size=0.25, random_state=SEED, stratify=y)


def network(regularizer=None):
    keras.utils.set_random_seed(SEED)
    dense = keras.layers.Dense
    return keras.Sequential(
        [
            keras.Input((64,)),
            dense(128, activation="relu", kernel_regularizer=regularizer, name="pixels"),
            dense(64, activation="relu", kernel_regularizer=regularizer, name="hidden"),
            dense(10, kernel_regularizer=regularizer, name="digit"),
        ],
        name="digits",
    )


def train(model, optimizer, x, y, epochs, progress, name):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    task = progress.add_task(name, total=epochs)
    tick = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: progress.advance(task))
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0, callbacks=[tick])
    return model


def adam(epochs, samples):
    """Adam with a rate that decays to zero at the end."""
    steps = epochs * -(-samples // 64)
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, steps))


def three_ways(x, y, epochs, console):
    penalty = penalties.L1(STRENGTH).on(penalties.kernels)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        ways = {
            "no penalty": (network(), adam(epochs, len(x))),
            "L1 in the loss": (network(penalties.keras.L1(STRENGTH)), adam(epochs, len(x))),
            "Penalized": (network(), penalties.keras.Penalized(adam(epochs, len(x)), penalty)),
        }
        return {name: train(*way, x, y, epochs, progress, name) for name, way in ways.items()}


def results(models, x, y):
    """A row for each model: accuracy, and how many weights of its kernels are zero."""
    rows = {}
    for name, model in models.items():
        accuracy = float(np.mean(np.argmax(model.predict(x, verbose=0), axis=1) == y))
        share = float(penalties.sparsity(model, penalties.kernels).share)
        largest = max(np.abs(np.asarray(layer.kernel)).max() for layer in model.layers)
        small = np.concatenate([np.abs(np.asarray(layer.kernel)).ravel() for layer in model.layers])
        rows[name] = (accuracy, share, float(np.mean(small < 1e-3 * largest)))
    return rows


def show(rows, console):
    table = Table(title=f"digits never seen in training; L1({STRENGTH}) on the kernels")
    table.add_column("")
    for column in ("accuracy", "exact zeros", "below a thousandth of the largest"):
        table.add_column(column, justify="right")
    for name, numbers in rows.items():
        table.add_row(name, *(f"{100 * number:.1f} %" for number in numbers))
    console.print(table)


def same_after_a_file(model, x):
    """Saves and loads the model; whether it predicts the same, and the loaded model."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.keras"
        model.save(path)
        loaded = keras.models.load_model(path)
    return np.array_equal(model.predict(x, verbose=0), loaded.predict(x, verbose=0)), loaded


def draw(models, x, path):
    """An average digit, and for each model the number of weights that each pixel still has."""
    figure, axes = plt.subplots(1, 1 + len(models), figsize=(12, 3.4), layout="constrained")
    axes[0].imshow(x.mean(0).reshape(8, 8), cmap="Greys")
    axes[0].set_title("the average digit")
    for axis, (name, model) in zip(axes[1:], models.items(), strict=True):
        kernel = np.asarray(model.get_layer("pixels").kernel)
        left = np.count_nonzero(kernel, axis=1).reshape(8, 8)
        image = axis.imshow(left, cmap="viridis", vmin=0, vmax=kernel.shape[1])
        axis.set_title(f"{name}: {np.count_nonzero(kernel):,} of {kernel.size:,}")
    figure.colorbar(image, ax=axes[1:], label="nonzero weights of a pixel")
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="5 epochs: to see that it runs")
    options = parser.parse_args(arguments)
    console = Console()

    x, x_test, y, y_test = digits()
    models = three_ways(x, y, 5 if options.quick else options.epochs, console)
    rows = results(models, x_test, y_test)
    show(rows, console)

    sparse = models["Penalized"]
    print(penalties.describe(sparse.optimizer.penalty, sparse))
    same, loaded = same_after_a_file(sparse, x_test)
    console.print(
        f"saved and loaded: {'the same predictions, to the last bit' if same else 'OTHER PREDICTIONS'}"
    )
    console.print(f"the optimizer came back as well: {loaded.optimizer.penalty!r}")

    draw(models, x, "keras_digits.png")
    console.print("wrote keras_digits.png")
    return rows


if __name__ == "__main__":
    main()
