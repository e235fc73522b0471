"""What L1 does to large weights and MCP does not, in a regression and in a network.

    python examples/large_weights.py            # about a minute
    python examples/large_weights.py --quick    # a few seconds

L1 pulls at a large weight as hard as at a small one: to be rid of the others it has to shrink the true ones.
MCP stops to pull where a weight is large. First, in 40 sparse regressions whose truth is known: how far the
large weights are off, and how well the support is found. There MCP wins by far. Then in an MLP on
scikit-learn's digits, with whole neurons as groups: how many are left at which accuracy. There the two are
alike, for the next layer makes up for what is shrunk. Every strength is chosen on held-out data, and the test
data are looked at once. All regressions and strengths are one `jax.vmap`, and so are the networks.

Written to ./large_weights.png: the weights of one regression against the truth, and neurons against accuracy.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import optax
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits

from penalties import L1, L2, MCP, Grouped, Penalty, penalized

mpl.use("Agg")
import matplotlib.pyplot as plt

FEATURES, TRUE = 60, 6
SAMPLES = 80  # to train on, and as many again to choose the strength
NOISE = 1.0
UNITS = 48
GAMMA = 100.0  # of the group MCP: a neuron whose weights are beyond γ·λ on average is left alone
COLORS = {"L1": "tab:orange", "MCP": "tab:blue"}


class Split(NamedTuple):
    x: jax.Array
    y: jax.Array


# The regressions


def make_regressions(how_many: int, seed: int) -> tuple[Split, Split, np.ndarray]:
    """What to train on, what to choose by, and the true weights, each with a first axis of regressions."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((how_many, FEATURES))
    truth[:, :TRUE] = rng.choice([-1, 1], (how_many, TRUE)) * np.linspace(1, 3, TRUE)
    x = rng.normal(size=(how_many, 2 * SAMPLES, FEATURES))
    y = np.einsum("rnf,rf->rn", x, truth) + NOISE * rng.normal(size=(how_many, 2 * SAMPLES))
    x, y = jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)
    return Split(x[:, :SAMPLES], y[:, :SAMPLES]), Split(x[:, SAMPLES:], y[:, SAMPLES:]), truth


def fit_linear(penalty: Penalty, data: Split, steps: int) -> jax.Array:
    optimizer = penalized(optax.adam(optax.cosine_decay_schedule(0.05, steps)), penalty)

    def step(carry, _):
        w, state = carry
        grads = jax.grad(lambda w: jnp.mean((data.x @ w - data.y) ** 2) / 2)(w)
        updates, state = optimizer.update(grads, state, w)
        return (optax.apply_updates(w, updates), state), None

    w = jnp.zeros(FEATURES)
    return jax.lax.scan(step, (w, optimizer.init(w)), length=steps)[0][0]


def fit_and_choose(
    penalty: Penalty, factors: jax.Array, data: Split, held_out: Split, steps: int
) -> np.ndarray:
    """The weights of each regression at the strength with the least error on what was held out."""

    def one(data, held_out):
        weights = jax.vmap(lambda factor: fit_linear(factor * penalty, data, steps))(factors)
        errors = jnp.mean((held_out.x @ weights.T - held_out.y[:, None]) ** 2, 0)
        return weights[jnp.argmin(errors)]

    return np.asarray(jax.jit(jax.vmap(one))(data, held_out))


def regression_row(w: np.ndarray, truth: np.ndarray) -> list[str]:
    large = truth != 0
    shrunk = np.mean((np.abs(truth) - np.sign(truth) * w)[large])
    found, right = w != 0, (w != 0) & large
    f1 = np.mean(2 * right.sum(1) / (found.sum(1) + large.sum(1)))
    error = np.mean(np.linalg.norm(w - truth, axis=1))
    return [f"{shrunk:.3f}", f"{found.sum(1).mean():.1f}", f"{f1:.3f}", f"{error:.3f}"]


# The networks


def load_splits() -> list[Split]:
    """Digits to train on, to choose by, and to test on."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    x, y = jnp.asarray(digits.data[order] / 16, jnp.float32), jnp.asarray(digits.target[order])
    return [Split(x[a:b], y[a:b]) for a, b in ((0, 1000), (1000, 1400), (1400, None))]


def init_network(key: jax.Array) -> dict:
    first, second = jax.random.split(key)
    return {
        "first": {"kernel": jax.random.normal(first, (64, UNITS)) / 8, "bias": jnp.zeros(UNITS)},
        "second": {"kernel": jax.random.normal(second, (UNITS, 10)) / UNITS**0.5, "bias": jnp.zeros(10)},
    }


def logits(params: dict, x: jax.Array) -> jax.Array:
    hidden = jax.nn.relu(x @ params["first"]["kernel"] + params["first"]["bias"])
    return hidden @ params["second"]["kernel"] + params["second"]["bias"]


def accuracy(params: dict, data: Split) -> jax.Array:
    return jnp.mean(jnp.argmax(logits(params, data.x), -1) == data.y)


def fit_network(penalty: Penalty, data: Split, steps: int, key: jax.Array) -> dict:
    # The L2 keeps the second layer from making up for a first one that shrinks.
    both = penalty.on("first/kernel") + L2(1e-4).on("second/kernel")
    optimizer = penalized(optax.adam(optax.cosine_decay_schedule(5e-3, steps)), both)

    def step(carry, key):
        params, state = carry
        rows = jax.random.randint(key, (100,), 0, len(data.x))

        def loss(params):
            scores = logits(params, data.x[rows])
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(scores, data.y[rows]))

        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    start, steps_key = jax.random.split(key)
    params = init_network(start)
    keys = jax.random.split(steps_key, steps)
    return jax.lax.scan(step, (params, optimizer.init(params)), keys)[0][0]


def fit_networks(penalty: Penalty, factors: jax.Array, data: Split, steps: int, seeds: int) -> list[dict]:
    """For each seed the networks of all factors."""
    keys = jax.random.split(jax.random.key(0), seeds)
    each = jax.vmap(lambda key, factor: fit_network(factor * penalty, data, steps, key), (None, 0))
    every = jax.jit(jax.vmap(each, (0, None)))(keys, factors)
    return [jax.tree.map(lambda w, i=i: w[i], every) for i in range(seeds)]


def units_left(params: dict) -> np.ndarray:
    return np.asarray(jnp.sum(jnp.any(params["first"]["kernel"] != 0, -2), -1))


def smallest_good(params: dict, held_out: Split) -> dict:
    """The network with the fewest neurons within a point of the best accuracy on held-out digits."""
    accuracies = np.asarray(jax.vmap(accuracy, (0, None))(params, held_out))
    best = np.argmin(np.where(accuracies >= accuracies.max() - 0.01, units_left(params), np.inf))
    return jax.tree.map(lambda w: w[best], params)


# The picture


def draw(weights: dict[str, np.ndarray], truth: np.ndarray, networks: dict, test: Split, path: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
    left.axhline(0, color="0.7", linewidth=1)
    sizes = np.abs(truth[0, :TRUE])
    for (name, w), shift in zip(weights.items(), (-0.02, 0.02), strict=True):
        off = (np.sign(truth) * (w - truth))[:, :TRUE]
        style = {"fmt": "o", "capsize": 3, "color": COLORS[name], "label": name}
        left.errorbar(sizes + shift, off.mean(0), off.std(0), **style)
    left.set(xlabel="true |w|", ylabel="found − true, mean ± standard deviation")
    left.set_title(f"{len(truth)} regressions: L1 shrinks what is large")
    left.legend()
    for name, of_seeds in networks.items():
        for i, params in enumerate(of_seeds):
            left_over, accuracies = (
                units_left(params),
                np.asarray(jax.vmap(accuracy, (0, None))(params, test)),
            )
            style = {"color": COLORS[name], "alpha": 0.7, "label": name if i == 0 else None}
            right.plot(left_over, 100 * accuracies, "o-", markersize=4, **style)
    right.set(xlabel=f"neurons left of {UNITS}", ylabel="test accuracy, %", xscale="log", ylim=(60, 100))
    right.set_title(f"Digits, {len(of_seeds)} seeds: whole neurons as groups")
    right.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--regressions", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3, help="of the networks")
    parser.add_argument("--steps", type=int, default=3000, help="training steps of every fit")
    parser.add_argument("--out", type=Path, default=Path("large_weights.png"), help="the picture to write")
    parser.add_argument("--quick", action="store_true", help="4 regressions, 1 seed, 300 steps")
    args = parser.parse_args()
    quick, full = (4, 1, 300), (args.regressions, args.seeds, args.steps)
    regressions, seeds, steps = quick if args.quick else full
    console = Console()

    data, held_out, truth = make_regressions(regressions, seed=0)
    factors = jnp.geomspace(0.03, 1.0, 20)
    with console.status(f"{2 * regressions * len(factors)} regressions ..."):
        weights = {
            name: fit_and_choose(penalty, factors, data, held_out, steps)
            for name, penalty in {"L1": L1(1.0), "MCP": MCP(1.0)}.items()
        }
    table = Table("", "shrunk by", "weights found", "support F1", "distance to the truth")
    table.title = f"{regressions} regressions, {TRUE} of {FEATURES} weights true"
    for name, w in weights.items():
        table.add_row(name, *regression_row(w, truth))
    console.print(table)

    train, choose, test = load_splits()
    factors = jnp.geomspace(1e-3, 1e-1, 14)
    with console.status(f"{2 * len(factors) * seeds} networks ..."):
        networks = {
            name: fit_networks(Grouped(penalty), factors, train, steps, seeds)
            for name, penalty in {"L1": L1(1.0), "MCP": MCP(1.0, gamma=GAMMA)}.items()
        }
    table = Table("", "neurons left", "test accuracy", title=f"Digits, {UNITS} neurons as groups, each seed")
    for name, of_seeds in networks.items():
        chosen = [smallest_good(params, choose) for params in of_seeds]
        units = ", ".join(str(units_left(one)) for one in chosen)
        table.add_row(f"Grouped({name})", units, ", ".join(f"{accuracy(one, test):.1%}" for one in chosen))
    console.print(table)
    draw(weights, truth, networks, test, args.out)
    console.print(f"The picture: {args.out}")


if __name__ == "__main__":
    main()
