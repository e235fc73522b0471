"""Accuracy at a share of zeros of a small network's kernels, and what zeros cost.

Every method has the same steps, and 96 trainings to be tuned by on each of two seeds. One with a strength has
16 strengths, 3 rates, and the choice to train on with the zeros held in the second half, by adam; one with a
target has 4 targets, 8 rates and 3 strengths of an L2. For each target the training is kept that reaches it
and is the most accurate on the validation split; five other seeds of it are tested, once.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from rich.table import Table

from benchmarks.results import Row
from benchmarks.rivals.data import Data, Splits
from benchmarks.rivals.methods import METHODS, Method, cosine
from benchmarks.rivals.pruning import pruning
from benchmarks.rivals.regularizers import Lasso
from benchmarks.small_networks import SmallNetwork
from benchmarks.timing import console
from penalties import L1, L2, add_penalty, hold_zeros, kernels, sparsity, to_sparsity

TARGETS, BATCH, REFIT_RATE = (0.8, 0.9, 0.95, 0.98), 64, 3e-3


class Found(NamedTuple):
    """What trainings came to."""

    validation: Any
    loss: Any
    test: Any
    share: Any


@dataclass(frozen=True)
class Trials:
    """A way to train, and the settings (level, rate, other) to try: levels are strengths, or targets."""

    train: Callable[..., Any]
    settings: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Network:
    """One network and its data, which all methods share."""

    splits: Splits
    small: SmallNetwork
    steps: int

    def loss(self, params: Any, data: Data) -> Array:
        return optax.softmax_cross_entropy_with_integer_labels(
            self.small.logits(params, data.x), data.y
        ).mean()

    def trained(self, optimizer: Any, params: Any, seed: Array, first: int, last: int) -> Any:
        """The params after these steps."""

        def step(carry: Any, t: Array) -> tuple[Any, None]:
            params, state = carry
            key = jax.random.fold_in(jax.random.key(seed + 1000), t)
            rows = jax.random.randint(key, (BATCH,), 0, len(self.splits.train.x))
            grads = jax.grad(self.loss)(params, Data(*(x[rows] for x in self.splits.train)))
            updates, state = optimizer.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), jnp.arange(first, last))[0][0]

    def found(self, params: Any) -> Found:
        def accuracy(data: Data) -> Array:
            return jnp.mean(jnp.argmax(self.small.logits(params, data.x), -1) == data.y)

        _, validation, test = self.splits
        share = sparsity(params, kernels).share
        return Found(accuracy(validation), self.loss(params, validation), accuracy(test), share)


def whole(method: Method) -> Callable[..., Any]:
    """The method for all of the steps."""

    def train(network: Network, strength: Array, rate: Array, _: Array, seed: Array) -> Any:
        optimizer = method.make(Lasso(strength), rate, method.network_other, network.steps)
        return network.trained(optimizer, network.small.init(seed), seed, 0, network.steps)

    return train


def refitted(method: Method) -> Callable[..., Any]:
    """The method for half of the steps, then adam on what is not zero, without a penalty."""

    def train(network: Network, strength: Array, rate: Array, _: Array, seed: Array) -> Any:
        half = network.steps // 2
        optimizer = method.make(Lasso(strength), rate, method.network_other, half)
        params = network.trained(optimizer, network.small.init(seed), seed, 0, half)
        refit = hold_zeros(optax.adam(cosine(REFIT_RATE, network.steps - half)), kernels)
        return network.trained(refit, params, seed, half, network.steps)

    return train


def targeted(make: Callable[..., Any]) -> Callable[..., Any]:
    """A method with a target in place of a strength, and an L2."""

    def train(network: Network, target: Array, rate: Array, decay: Array, seed: Array) -> Any:
        adam = optax.adam(cosine(rate, network.steps))
        optimizer = optax.chain(add_penalty(L2(decay).on(kernels)), make(adam, target, network.steps))
        return network.trained(optimizer, network.small.init(seed), seed, 0, network.steps)

    return train


TARGETED = {
    "to_sparsity(adam)": lambda adam, target, steps: to_sparsity(adam, L1(1.0).on(kernels), target, steps),
    "magnitude pruning, global": lambda adam, target, steps: pruning(adam, target, steps, per_layer=False),
    "magnitude pruning, per layer": lambda adam, target, steps: pruning(adam, target, steps, per_layer=True),
}


def all_trials(strengths: int, rates: int) -> dict[str, list[Trials]]:
    """By method. Of each as many trainings, 2 · strengths · rates."""
    decays = (0.0, 1e-5, 1e-4)
    many = 2 * strengths * rates // (len(TARGETS) * len(decays))
    fine = [float(rate) for rate in np.geomspace(1e-3, 3e-2, many)]
    trials = {
        name: [Trials(targeted(make), tuple(itertools.product(TARGETS, fine, decays)))]
        for name, make in TARGETED.items()
    }
    for name, method in METHODS.items():
        levels = [float(strength) for strength in np.geomspace(*method.strengths, strengths)]
        settings = tuple(itertools.product(levels, method.network_rates[:rates], [0.0]))
        trials[name] = [Trials(whole(method), settings), Trials(refitted(method), settings)]
    return trials


def run(network: Network, trials: Trials, seeds: tuple[int, ...]) -> Found:
    """For each setting and seed what was found. Sixteen settings at once, so that they stay in the cache."""

    def one(setting: Array, seed: Array) -> Found:
        return network.found(trials.train(network, *setting, seed))

    each = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))
    settings = jnp.asarray(trials.settings, jnp.float32)
    parts = [each(settings[i : i + 16], jnp.asarray(seeds)) for i in range(0, len(settings), 16)]
    return Found(*(np.concatenate(of) for of in zip(*parts, strict=True)))


def best(found: Found, target: float) -> int | None:
    """Of the settings that reach the target the most accurate on the validation split; ties by its loss."""
    reached = found.share.mean(1) >= target - 1e-3
    if not reached.any():
        return None
    accuracy = np.where(reached, found.validation.mean(1), -1)
    return int(np.lexsort((found.loss.mean(1), -accuracy))[0])


def cell(numbers: dict[str, float], target: float) -> str:
    """Accuracy, its deviation over the seeds, and the share of zeros."""
    if f"{target}, accuracy" not in numbers:
        return "–"
    accuracy, deviation, zeros = (numbers[f"{target}, {of}"] for of in ("accuracy", "deviation", "zeros"))
    return f"{accuracy:.1f} ± {deviation:.1f} ({zeros:.1f} %)"


def networks(network: Network, what: str, *, strengths: int, rates: int, seeds: int) -> list[Row]:
    """Test accuracies at each target, means over the seeds, in percent."""
    title = f"test accuracy at a share of zeros: {what}, {network.steps} steps, {seeds} seeds"
    table = Table(title=title)
    for column in ("method", *(f"{100 * target:.0f} % zeros" for target in TARGETS)):
        table.add_column(column, justify="left" if column == "method" else "right")
    tuned, tested = tuple(range(100, 102)), tuple(range(seeds))
    rows = []
    for name, ways in all_trials(strengths, rates).items():
        tries = [run(network, way, tuned) for way in ways]
        together = Found(*(np.concatenate(of) for of in zip(*tries, strict=True)))
        places = [(way, setting) for way in ways for setting in way.settings]
        kept = {target: places[at] for target in TARGETS if (at := best(together, target)) is not None}
        numbers: dict[str, float] = {}
        for way in ways:
            own = {target: setting for target, (of, setting) in kept.items() if of is way}
            if not own:
                continue
            found = run(network, Trials(way.train, tuple(own.values())), tested)
            for i, (target, (level, rate, other)) in enumerate(own.items()):
                numbers |= {
                    f"{target}, accuracy": 100 * float(found.test[i].mean()),
                    f"{target}, deviation": 100 * float(found.test[i].std()),
                    f"{target}, zeros": 100 * float(found.share[i].mean()),
                    f"{target}, level": level,
                    f"{target}, rate": rate,
                    f"{target}, other": other,
                    f"{target}, held": float(len(ways) == 1 or way is ways[1]),
                }
        rows.append(Row(title, name, numbers))
        shown = [cell(numbers, target) for target in TARGETS]
        table.add_row(name, *shown)
        console.print(f"{name}: {', '.join(shown)}", highlight=False)  # a table comes late
    console.print(table)
    return rows
