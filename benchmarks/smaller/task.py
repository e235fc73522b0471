"""What all have in common, whichever framework they train in: data, first weights, batches, trials, measures.

Weights have the names and layouts of torch. Every method trains, cuts, and trains on for half as many steps,
by adam; the rate is constant before the cut, and falls to 0 by a cosine after it. It has 18 settings, 3 rates
and 6 of its own, each tried on two seeds. For each target the setting is kept that is the most accurate on
the validation split, ties by the loss there; five other seeds of it are tested, once.
"""

import itertools
import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "MLP": {"first": (128, 64), "second": (64, 128), "out": (10, 64)},
    "CNN": {"first": (16, 1, 3, 3), "second": (32, 16, 3, 3), "third": (64, 512), "out": (10, 64)},
}
# The methods of `in_torch`, which only a Python with torch can import.
IN_TORCH = (
    "torch, dense",
    "Torch-Pruning, importance",
    "Torch-Pruning, GroupNormPruner",
    "Only-Train-Once, HESSO",
)
TARGETS, RATES, BATCH = (0.5, 0.75, 0.9), (1e-3, 3e-3, 1e-2), 64
TUNED, TESTED = (100, 101), (0, 1, 2, 3, 4)


class Size(NamedTuple):
    """How much is trained and tried."""

    sparse: int
    fine: int
    tuned: Sequence[int]
    tested: Sequence[int]
    rates: Sequence[float]
    own: int | None


FULL = {
    "MLP": Size(1_000, 500, TUNED, TESTED, RATES, None),
    "CNN": Size(600, 300, TUNED, TESTED, RATES, None),
}
QUICK = Size(100, 20, TUNED[:1], TESTED[:1], RATES[1:2], 1)


class Data(NamedTuple):
    x: np.ndarray
    y: np.ndarray


class Problem(NamedTuple):
    """A network by name, and the three splits."""

    network: str
    train: Data
    validation: Data
    test: Data


class Trained(NamedTuple):
    """Networks as functions of inputs: at the end of sparse training, just cut, and trained on."""

    before: Callable[[Any], Any]
    cut: Callable[[Any], Any]
    after: Callable[[Any], Any]
    units: int
    parameters: int
    seconds: float


class Setting(NamedTuple):
    """A rate, and what else the method has to choose."""

    rate: float
    own: Any


class Side(NamedTuple):
    """A method: trains by a setting, to a target, from a seed; what it has to choose; how inputs are made."""

    train: Callable[[Problem, Size, Setting, float, int], Trained]
    own: Sequence[Any]
    inputs: Callable[[np.ndarray], Any]
    targets: Sequence[float] = TARGETS


def problem(network: str) -> Problem:
    """Digits, 60, 20 and 20 %, as rows or as images of one channel."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32).reshape(-1, *((64,) if network == "MLP" else (1, 8, 8)))
    rest, x_test, y_rest, y_test = train_test_split(x, y, test_size=0.2, random_state=0, stratify=y)
    parts = train_test_split(rest, y_rest, test_size=0.25, random_state=0, stratify=y_rest)
    return Problem(network, Data(parts[0], parts[2]), Data(parts[1], parts[3]), Data(x_test, y_test))


def first_weights(network: str, seed: int) -> dict[str, np.ndarray]:
    """He's normal weights, and biases of 0."""
    rng, params = np.random.default_rng(seed), dict[str, np.ndarray]()
    for name, shape in SHAPES[network].items():
        scale = math.sqrt(2 / math.prod(shape[1:]))
        params[f"{name}.weight"] = (scale * rng.standard_normal(shape)).astype(np.float32)
        params[f"{name}.bias"] = np.zeros(shape[0], np.float32)
    return params


def rows_of_batches(seed: int, steps: int, n: int) -> np.ndarray:
    """Which rows each step sees."""
    return np.random.default_rng(1_000 + seed).integers(n, size=(steps, BATCH))


def falling(rate: float, steps: int) -> np.ndarray:
    """The rates after the cut."""
    return (rate * (1 + np.cos(np.pi * np.arange(steps) / steps)) / 2).astype(np.float32)


def units_of(network: str) -> int:
    """Hidden neurons and channels."""
    return sum(shape[0] for name, shape in SHAPES[network].items() if name != "out")


def accuracy_and_loss(logits: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The share that is right, and the cross-entropy."""
    logits = logits.astype(np.float64)
    largest = logits.max(1, keepdims=True)
    log_sum = largest[:, 0] + np.log(np.exp(logits - largest).sum(1))
    return float(np.mean(logits.argmax(1) == y)), float(np.mean(log_sum - logits[np.arange(len(y)), y]))


def milliseconds(networks: dict[str, Callable[[Any], Any]], x: Any, repeats: int = 201) -> dict[str, float]:
    """The median time of a forward pass; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in networks}
    for repeat in range(repeats + 5):
        for name, network in networks.items():
            begun = time.perf_counter()
            network(x)
            if repeat >= 5:
                times[name].append(1e3 * (time.perf_counter() - begun))
    return {name: statistics.median(of) for name, of in times.items()}


def measured(side: Side, at: Problem, trained: Trained) -> dict[str, float]:
    """What is shown of one training, on the test split."""
    x = side.inputs(at.test.x)
    outputs = {name: np.asarray(getattr(trained, name)(x)) for name in ("before", "cut", "after")}
    of = {name: 100 * accuracy_and_loss(logits, at.test.y)[0] for name, logits in outputs.items()}
    times = milliseconds({"dense, ms": trained.before, "small, ms": trained.after}, x)
    return {
        "before the cut, %": of["before"],
        "just cut, %": of["cut"],
        "test, %": of["after"],
        "units": trained.units,
        "parameters": trained.parameters,
        "difference": float(abs(outputs["before"] - outputs["cut"]).max() / abs(outputs["before"]).max()),
        "training, s": trained.seconds,
        **times,
    }


def tuned_and_tested(side: Side, at: Problem, size: Size) -> dict[str, dict[str, float]]:
    """For each target the numbers of the setting that is best by validation, means over the tested seeds."""
    settings = [Setting(*of) for of in itertools.product(size.rates, side.own[: size.own])]
    validation = side.inputs(at.validation.x)
    numbers: dict[str, dict[str, float]] = {}
    for target in side.targets:
        scores = list[tuple[float, float]]()
        for setting in settings:
            tries = [side.train(at, size, setting, target, seed) for seed in size.tuned]
            found = [accuracy_and_loss(np.asarray(of.after(validation)), at.validation.y) for of in tries]
            accuracy, loss = np.mean(found, 0)
            scores.append((-accuracy, loss))
        kept = settings[min(range(len(settings)), key=scores.__getitem__)]
        runs = [measured(side, at, side.train(at, size, kept, target, seed)) for seed in size.tested]
        numbers[str(target)] = {name: float(np.mean([run[name] for run in runs])) for name in runs[0]} | {
            "deviation": float(np.std([run["test, %"] for run in runs])),
            "difference": max(run["difference"] for run in runs),
            "rate": kept.rate,
            "own": side.own.index(kept.own),
        }
    return numbers
