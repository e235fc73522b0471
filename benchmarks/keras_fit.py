"""How long an epoch of `fit` takes: our regularizers against Keras's, Penalized against plain Adam.

    KERAS_BACKEND=jax python -m benchmarks.keras_fit            # epochs, as users see them
    KERAS_BACKEND=jax python -m benchmarks.keras_fit --steps    # the compiled step alone: less noise

First both sides of each comparison are trained and shown to compute the same thing; then their
epochs take turns, so that whatever else the machine does slows both, and the medians are compared.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import penalties
from benchmarks.results import Row, add_save, save
from penalties.keras import L1, L1L2, L2, Penalized

STRENGTH = 1e-4
KERNELS = penalties.L1(STRENGTH).on("**/kernel")
BATCH = 128


def data(batches):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH * batches, 784)).astype("float32")
    return x, rng.integers(0, 10, BATCH * batches)


def model(regularizer=None, optimizer=None):
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense
    net = keras.Sequential(
        [
            keras.Input((784,)),
            dense(512, activation="relu", kernel_regularizer=regularizer),
            dense(512, activation="relu", kernel_regularizer=regularizer),
            dense(10, kernel_regularizer=regularizer),
        ],
        name="net",
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(optimizer or keras.optimizers.Adam(1e-3), loss)
    return net


def fit(net, x, y):
    net.fit(x, y, batch_size=BATCH, epochs=1, shuffle=False, verbose=0)
    return [np.asarray(v.value) for v in net.trainable_variables]


def check_the_same(ours, theirs, x, y):
    """Raises AssertionError unless 40 batches lead both to the same weights; later rounding has grown."""
    x, y = x[: 40 * BATCH], y[: 40 * BATCH]
    for one, other in zip(fit(ours, x, y), fit(theirs, x, y), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


NAMESAKES = [
    ("L1", L1(STRENGTH), keras.regularizers.L1(STRENGTH)),
    ("L2", L2(STRENGTH), keras.regularizers.L2(STRENGTH)),
    ("L1L2", L1L2(STRENGTH, STRENGTH), keras.regularizers.L1L2(STRENGTH, STRENGTH)),
]


def checks():
    """Name, ours, theirs: what has to lead to the same weights. By SGD, for Adam divides by small numbers."""
    for name, ours, theirs in NAMESAKES:
        yield name, model(ours, sgd()), model(theirs, sgd())
    # With a penalty that has no kink, Penalized is the penalty in the loss.
    smooth = Penalized(sgd(), penalties.L2(STRENGTH).on("**/kernel"))
    yield "Penalized(SGD, L2)", model(optimizer=smooth), model(keras.regularizers.L2(STRENGTH), sgd())


def sgd():
    return keras.optimizers.SGD(0.1, momentum=0.9)


def comparisons():
    """Name, goal, ours, theirs, all with Adam."""
    for name, ours, theirs in NAMESAKES:
        yield name, 1.02, model(ours), model(theirs)
    for dtype in ("float32", "bfloat16"):
        penalized = Penalized("adam", KERNELS, accumulator_dtype=dtype)
        yield f"Penalized(Adam, L1), average in {dtype}", 1.1, model(optimizer=penalized), model()


def epoch(net, x, y):
    """A function that trains for one epoch."""
    return lambda: net.fit(x, y, batch_size=BATCH, epochs=1, shuffle=False, verbose=0)


def step(net, x, y):
    """A function that makes one compiled step on the first batch."""
    batch = jax.tree.map(jax.numpy.asarray, (x[:BATCH], y[:BATCH]))
    net.fit(*batch, batch_size=BATCH, verbose=0)  # makes all variables
    parts = (
        net.trainable_variables,
        net.non_trainable_variables,
        net.optimizer.variables,
        net.metrics_variables,
    )
    state = [[jax.numpy.array(variable.value) for variable in part] for part in parts]
    compiled = jax.jit(net.train_step, donate_argnums=0)

    def once():
        nonlocal state
        _, state = jax.block_until_ready(compiled(tuple(state), batch))

    return once


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure(ours, theirs, repeats):
    """The times of both functions, taken in turns."""
    for function in (ours, theirs):
        function()  # compiles
    times = ([], [])
    for repeat in range(repeats):
        order = (0, 1) if repeat % 2 == 0 else (1, 0)
        for which in order:
            times[which].append(seconds((ours, theirs)[which]))
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15, help="epochs of each side of a comparison")
    parser.add_argument("--batches", type=int, default=160, help=f"batches of {BATCH} in an epoch")
    parser.add_argument("--steps", action="store_true", help="time the compiled step, 25 for each repeat")
    add_save(parser)
    arguments = parser.parse_args()
    what, timed = ("a compiled step", step) if arguments.steps else ("an epoch of fit", epoch)
    repeats = arguments.repeats * (25 if arguments.steps else 1)
    x, y = data(arguments.batches)

    console = Console()
    for name, ours, theirs in track(list(checks()), "checking that both compute the same", console=console):
        check_the_same(ours, theirs, x, y)
        console.print(f"{name}: the same weights")

    table = Table(title=f"{what}, median of {repeats}, in turns")
    for column in ("what", "ours, ms", "Keras, ms", "ratio", "middle half of ratios", "goal"):
        table.add_column(column, justify="left" if column == "what" else "right")
    rows = []
    for name, goal, ours, theirs in track(list(comparisons()), "measuring", console=console):
        mine, keras_ = measure(timed(ours, x, y), timed(theirs, x, y), repeats)
        ratios = sorted(a / b for a, b in zip(mine, keras_, strict=True))
        ratio = statistics.median(mine) / statistics.median(keras_)
        quarter = len(ratios) // 4
        rows.append(
            Row(
                what,
                f"{name} against Keras",
                {"ours, s": statistics.median(mine), "peer, s": statistics.median(keras_), "ratio": ratio},
            )
        )
        table.add_row(
            name,
            f"{1000 * statistics.median(mine):.2f}",
            f"{1000 * statistics.median(keras_):.2f}",
            f"[{'green' if ratio <= goal else 'red'}]{ratio:.3f}[/]",
            f"{ratios[quarter]:.3f} to {ratios[-1 - quarter]:.3f}",
            f"≤ {goal}",
        )
    console.print(table)
    save(arguments.save, rows)


if __name__ == "__main__":
    main()
