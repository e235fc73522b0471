"""Accuracy at a given share of zeros: `to_sparsity`, gradual magnitude pruning, and the best fixed strength.

An MLP and a CNN on scikit-learn's digits: 60 % to train, 20 % to choose the fixed strength by, 20 % to test,
by which nothing is chosen. All have the same steps, the same half of them to train on with the zeros held.

python -m benchmarks.targets    by what the rates and the epsilon were chosen: the validation split
"""

import argparse
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
from jax import Array
from rich.table import Table

from benchmarks.results import Row, add_save, save
from benchmarks.rivals.data import Data, digits
from benchmarks.small_networks import CNN, MLP, SmallNetwork
from benchmarks.timing import console
from penalties import L1, LogSum, Penalty, hold_zeros, kernels, penalized, sparsity, to_sparsity

BATCH, EVERY = 64, 10
TARGETS = (0.8, 0.9, 0.95, 0.99)
# Of each optimizer a learning rate with which both networks, without zeros, do well on the validation split.
RATES = {"adam": 3e-3, "sgd": 0.1, "muon": 0.01, "lion": 5e-4}
EPSILONS = (0.3, 0.1, 0.03, 0.01)
STRENGTHS = np.geomspace(1e-5, 3e-2, 12).astype(np.float32)


class Found(NamedTuple):
    """What one training came to: accuracy on both splits, and the share of zeros."""

    validation: Any
    test: Any
    share: Any


class Training:
    """One way to train, which all methods share: (optimizer, steps) on batches drawn by a seed."""

    def __init__(self, name: str, steps: int, network: SmallNetwork = MLP):
        make = {
            "adam": optax.adam,
            "sgd": functools.partial(optax.sgd, momentum=0.9),
            "muon": optax.contrib.muon,
            "lion": optax.lion,
        }
        self.make, self.network, self.steps = make[name], network, steps
        self.optimizer = self.at(RATES[name])
        self.train, self.validation, self.test = digits()

    def at(self, rate: Any) -> optax.GradientTransformation:
        """The optimizer with this rate to begin with."""
        return self.make(optax.cosine_decay_schedule(rate, self.steps))

    def run(self, step: Callable[..., Any], carry: Any, seed: Array, first: int, last: int) -> Any:
        """The carry after `step(carry, gradient function, number of the step)` from the first to the last."""

        def one(carry: Any, t: Array) -> tuple[Any, None]:
            key = jax.random.fold_in(jax.random.key(seed + 1000), t)
            batch = jax.random.randint(key, (BATCH,), 0, len(self.train.x))

            def loss(params: Any) -> Array:
                found = self.network.logits(params, self.train.x[batch])
                return optax.softmax_cross_entropy_with_integer_labels(found, self.train.y[batch]).mean()

            return step(carry, jax.grad(loss), t), None

        return jax.lax.scan(one, carry, jnp.arange(first, last))[0]

    def by(self, optimizer: Any, params: Any, state: Any, seed: Array, first: int, last: int) -> Any:
        """The params and the state of an optimizer after these steps."""

        def step(carry: Any, gradient: Any, t: Array) -> Any:
            params, state = carry
            updates, state = optimizer.update(gradient(params), state, params)
            return optax.apply_updates(params, updates), state

        return self.run(step, (params, state), seed, first, last)

    def found(self, params: Any) -> Found:
        def accuracy(data: Data) -> Array:
            return jnp.mean(jnp.argmax(self.network.logits(params, data.x), -1) == data.y)

        return Found(accuracy(self.validation), accuracy(self.test), sparsity(params, kernels).share)


def by_target(training: Training, target: Array, seed: Array, *, penalty: Penalty) -> Found:
    """to_sparsity."""
    optimizer = to_sparsity(training.optimizer, penalty.on(kernels), target, training.steps)
    params = training.network.init(seed)
    params, _ = training.by(optimizer, params, optimizer.init(params), seed, 0, training.steps)
    return training.found(params)


def by_magnitude(training: Training, target: Array, seed: Array, *, per_layer: bool) -> Found:
    """Gradual magnitude pruning: Zhu and Gupta, To prune, or not to prune (2017), equation 1, with s_i = 0.

    There each layer is pruned to the same share; globally, the smallest weights of all are.
    """
    half = training.steps // 2

    def pruned(params: Any, share: Array) -> Any:
        sizes = [jnp.abs(layer["kernel"]) for layer in params]
        pools = sizes if per_layer else [jnp.concatenate([x.ravel() for x in sizes])] * len(sizes)

        def threshold(pool: Array) -> Array:
            at = jnp.round(share * pool.size).astype(jnp.int32)
            return jnp.sort(pool.ravel())[jnp.clip(at, 0, pool.size - 1)]

        return [
            layer | {"kernel": jnp.where(x >= threshold(pool), layer["kernel"], 0)}
            for layer, x, pool in zip(params, sizes, pools, strict=True)
        ]

    optimizer = hold_zeros(training.optimizer, kernels)

    def step(carry: Any, gradient: Any, t: Array) -> Any:
        params, state = carry
        updates, state = optimizer.update(gradient(params), state, params)
        params = optax.apply_updates(params, updates)
        share = target * (1 - (1 - jnp.minimum((t + 1) / half, 1)) ** 3)
        due = ((t + 1) % EVERY == 0) & (t < half)
        return jax.lax.cond(due, pruned, lambda params, _: params, params, share), state

    params = training.network.init(seed)
    return training.found(training.run(step, (params, optimizer.init(params)), seed, 0, training.steps)[0])


def by_strength(training: Training, strength: Array, seed: Array) -> Found:
    """One strength for half of the steps, then the debiased refit."""
    optimizer = penalized(training.optimizer, L1(strength).on(kernels))
    params, half = training.network.init(seed), training.steps // 2
    params, state = training.by(optimizer, params, optimizer.init(params), seed, 0, half)
    refit: Any = hold_zeros(training.optimizer, kernels)
    params, _ = training.by(refit, params, state.inner_state, seed, half, training.steps)
    return training.found(params)


def runs(method: Any, training: Training, values: Any, seeds: Any) -> Found:
    """For each value and seed what was found, as NumPy arrays."""
    each = jax.vmap(jax.vmap(functools.partial(method, training), (None, 0)), (0, None))
    return jax.tree.map(np.asarray, jax.jit(each)(jnp.asarray(values, jnp.float32), jnp.asarray(seeds)))


def best_strength(found: Found, target: float) -> Found:
    """Of the strengths that reach the target the most accurate on the validation split; NaN if none does."""
    reached = found.share.mean(1) >= target - 1e-3
    best = np.argmax(np.where(reached, found.validation.mean(1), -1))
    return Found(*(np.where(reached.any(), x[best], np.nan) for x in found))


def targets(network: SmallNetwork, steps: int, seeds: int, optimizers: tuple[str, ...]) -> list[Row]:
    """Test accuracies at each target, means over the seeds, in percent."""
    title = f"test accuracy at a share of zeros: digits, {network.name}, {steps} steps, {seeds} seeds"
    table = Table(title=title)
    for column in ("optimizer", "method", *(f"{100 * target:.0f} % zeros" for target in TARGETS)):
        table.add_column(column, justify="left" if column in ("optimizer", "method") else "right")
    methods = {
        "to_sparsity, L1": functools.partial(by_target, penalty=L1(1.0)),
        "to_sparsity, LogSum": functools.partial(by_target, penalty=LogSum(1.0, epsilon=0.1)),
        "magnitude pruning, global": functools.partial(by_magnitude, per_layer=False),
        "magnitude pruning, per layer": functools.partial(by_magnitude, per_layer=True),
    }
    rows = []
    for name in optimizers:
        training = Training(name, steps, network)
        found = {what: runs(how, training, TARGETS, range(seeds)) for what, how in methods.items()}
        fixed = runs(by_strength, training, STRENGTHS, range(seeds))
        chosen = [best_strength(fixed, target) for target in TARGETS]
        found["the best fixed strength"] = Found(*map(np.stack, zip(*chosen, strict=True)))
        for what, of in found.items():
            numbers: dict[str, float] = {}
            cells = []
            for i, target in enumerate(TARGETS):
                accuracy, share = 100 * of.test[i], 100 * of.share[i].mean()
                numbers |= {f"{target}, accuracy": float(accuracy.mean()), f"{target}, zeros": float(share)}
                cells.append(f"{accuracy.mean():.1f} ± {accuracy.std():.1f} ({share:.1f} %)")
            rows.append(Row(title, f"{name}: {what}", numbers))
            table.add_row(name, what, *cells)
            console.print(f"{name}, {what}: {', '.join(cells)}", highlight=False)  # a table comes late
    console.print(table)
    return rows


def by_rate(training: Training, rate: Array, seed: Array) -> Found:
    """Training without zeros, by an optimizer with this rate."""
    optimizer, params = training.at(rate), training.network.init(seed)
    return training.found(training.by(optimizer, params, optimizer.init(params), seed, 0, training.steps)[0])


def by_epsilon(training: Training, values: Array, seed: Array) -> Found:
    """to_sparsity with a LogSum, of a target and an epsilon."""
    return by_target(training, values[0], seed, penalty=LogSum(1.0, epsilon=values[1]))


def settings(
    networks: Sequence[SmallNetwork], optimizers: Sequence[str], steps: int, seeds: int
) -> list[Row]:
    """Accuracies on the validation split in percent, of seeds that are not tested."""
    own, rows = range(100, 100 + seeds), list[Row]()
    table = Table("what", "setting", "validation, %", title="settings to choose by")

    def add(what: str, setting: str, accuracies: np.ndarray) -> None:
        shown = [100 * float(accuracy) for accuracy in accuracies]
        numbers = {f"{i}": accuracy for i, accuracy in enumerate(shown)}
        rows.append(Row("settings to choose by", f"{what}: {setting}", numbers))
        table.add_row(what, setting, " ".join(f"{accuracy:.1f}" for accuracy in shown))
        console.print(f"{what}, {setting} is done", highlight=False)

    # Rates, and epsilons, are values of one compiled training.
    for network in networks:
        for name in optimizers:
            rates = [RATES[name] / 3, RATES[name], 3 * RATES[name]]
            found = runs(by_rate, Training(name, steps, network), rates, own).validation.mean(1)
            for rate, accuracy in zip(rates, found, strict=True):
                add(f"{network.name}, {name}, without zeros", f"rate {rate:.1e}", accuracy[None])
    values = list(itertools.product(EPSILONS, TARGETS))
    found = runs(by_epsilon, Training("adam", steps), [(target, epsilon) for epsilon, target in values], own)
    accuracies = found.validation.mean(1).reshape(len(EPSILONS), len(TARGETS))
    for epsilon, accuracy in zip(EPSILONS, accuracies, strict=True):
        add(f"{MLP.name}, adam, LogSum at {TARGETS}", f"epsilon {epsilon}", accuracy)
    console.print(table)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few steps of one network, to see that it runs")
    add_save(parser)
    asked = parser.parse_args()
    few, full = ((MLP,), ("adam",), 140, 1), ((MLP, CNN), tuple(RATES), 1000, 5)
    save(asked.save, settings(*(few if asked.quick else full)))
