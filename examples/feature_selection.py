"""Which of 100 columns matter, where what matters is not linear: a network says it by what it loses last.

    python examples/feature_selection.py            # half a minute
    python examples/feature_selection.py --quick    # some seconds

Five columns make y = 10 sin(π·a·b) + 20 (c − ½)² + 10 d + 5 e (Friedman, Multivariate adaptive regression
splines, 1991), 95 do nothing. A network is trained under a group penalty on the weights that leave each
column, from weak to strong, each training from where the last one ended. Columns die one by one; the last to
die matter most. L1 on a linear model cannot see c, whose effect is the same on both sides of ½. A log-sum
penalty, which pulls less at what is large, tells the five from the rest better than the group lasso; so does
a random forest.

Each order, ours and those of scikit-learn, is then judged by the same network: it is trained on the first k
columns, with the weights of all others held at zero. How many are taken is chosen on held-out data, and the
test data are looked at once.

Written to ./feature_selection.png: the size of each column's weights over the strength, and what k columns
give. And to ./feature_selection.html the path as a page, to slide over the strengths.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path as File
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import optax
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_selection import mutual_info_regression
from sklearn.linear_model import LassoCV

from penalties import (
    L2,
    FeatureRanking,
    Grouped,
    GroupLasso,
    LogSum,
    Path,
    Penalty,
    fit_path,
    hold_zeros,
    penalized,
    rank_features,
    strength_grid,
    strength_max,
    write_page,
)

mpl.use("Agg")
import matplotlib.pyplot as plt

FEATURES, UNITS, BATCH = 100, 50, 100
REAL = {"a": 12, "b": 31, "c": 50, "d": 74, "e": 93}  # where the five columns stand
COUNTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, FEATURES)
SPLITS = {"train": 500, "held out": 250, "test": 2_000}


class Data(NamedTuple):
    x: jax.Array
    y: jax.Array


def make_data(seed: int) -> tuple[Data, ...]:
    """To train on, to choose by, and to test on: columns of mean 0 and variance 1."""
    rng = np.random.default_rng(seed)
    x = rng.random((sum(SPLITS.values()), FEATURES))
    a, b, c, d, e = (x[:, column] for column in REAL.values())
    y = 10 * np.sin(np.pi * a * b) + 20 * (c - 0.5) ** 2 + 10 * d + 5 * e + rng.normal(size=len(x))
    y = (y - y[: SPLITS["train"]].mean()) / y[: SPLITS["train"]].std()
    x, y = jnp.asarray((x - 0.5) * 12**0.5, jnp.float32), jnp.asarray(y, jnp.float32)
    ends = np.cumsum(list(SPLITS.values()))[:-1]
    return tuple(Data(*parts) for parts in zip(jnp.split(x, ends), jnp.split(y, ends), strict=True))


# The network


def init_network(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    first, out = rng.normal(size=(FEATURES, UNITS)), rng.normal(size=UNITS)
    return {
        "first": {"kernel": jnp.asarray(first / FEATURES**0.5, jnp.float32), "bias": jnp.zeros(UNITS)},
        "out": {"kernel": jnp.asarray(out / UNITS**0.5, jnp.float32), "bias": jnp.zeros(())},
    }


def predict(params: dict, x: jax.Array) -> jax.Array:
    hidden = jax.nn.relu(x @ params["first"]["kernel"] + params["first"]["bias"])
    return hidden @ params["out"]["kernel"] + params["out"]["bias"]


def loss(params: dict, data: Data) -> jax.Array:
    return jnp.mean((predict(params, data.x) - data.y) ** 2)


def r2(params: dict, data: Data) -> jax.Array:
    return 1 - loss(params, data) / jnp.var(data.y)


def train(optimizer: optax.GradientTransformation, params: dict, data: Data, steps: int) -> dict:
    rows = np.random.default_rng(0).integers(0, len(data.x), (steps, BATCH))

    def step(carry, rows):
        params, state = carry
        gradient = jax.grad(loss)(params, Data(data.x[rows], data.y[rows]))
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, (params, optimizer.init(params)), jnp.asarray(rows))[0][0]


# The orders of the columns


def rank_by_path(
    penalty: Penalty, data: Data, held_out: Data, points: int, steps: int
) -> tuple[FeatureRanking, Path]:
    params = init_network(0)
    weakest_last = strength_grid(3 * strength_max(penalty, jax.grad(loss)(params, data)), count=points)

    def fit(penalty, params):
        # The L2 holds the next layer, which else makes up for a first one that shrinks: nothing would die.
        optimizer = penalized(optax.adam(3e-3), penalty + L2(1e-2).on("out/kernel"))
        return train(optimizer, params, data, steps)

    def score(params):
        return r2(params, held_out)

    path = fit_path(fit, penalty, weakest_last[::-1], params, score=score, progress=False)
    return rank_features(path, "first/kernel"), path


def by_scikit_learn(name: str, data: Data) -> np.ndarray:
    x, y = np.asarray(data.x), np.asarray(data.y)
    importance = {
        "L1 linear model": lambda: np.abs(LassoCV(cv=5).fit(x, y).coef_),
        "mutual information": lambda: mutual_info_regression(x, y, random_state=0),
        "random forest": lambda: RandomForestRegressor(200, random_state=0).fit(x, y).feature_importances_,
    }
    return np.argsort(-importance[name](), kind="stable")


# How good they are


def make_judge(data: Data, steps: int) -> Callable[[np.ndarray], dict]:
    """The networks of the first k columns of an order, of all k at once."""
    start = init_network(1)

    @jax.jit
    @jax.vmap
    def fit(mask):
        kernel = start["first"]["kernel"] * mask[:, None] * jnp.sqrt(FEATURES / mask.sum())
        params = start | {"first": start["first"] | {"kernel": kernel}}
        optimizer = optax.adamw(optax.cosine_decay_schedule(5e-3, steps), weight_decay=0.1)
        return train(hold_zeros(optimizer, "first/kernel"), params, data, steps)

    def judge(order: np.ndarray) -> dict:
        place = np.argsort(order)
        return fit(jnp.asarray(place[None] < np.array(COUNTS)[:, None], jnp.float32))

    return judge


def table_row(order: np.ndarray, chosen: int, test: np.ndarray) -> list[str]:
    """How many columns are chosen, which of the five are among them, and R² on the test data."""
    taken = set(order[: COUNTS[chosen]].tolist())
    found = "".join(name if column in taken else "·" for name, column in REAL.items())
    first_five = set(order[:5].tolist())
    return [
        "".join(name if column in first_five else "·" for name, column in REAL.items()),
        f"{COUNTS[chosen]}",
        found,
        f"{test[chosen]:.3f}",
    ]


def draw(path: Path, tests: dict[str, np.ndarray], chosen: dict[str, int], file: File) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
    sizes = np.linalg.norm(path.params["first"]["kernel"], axis=2)
    others = np.delete(np.arange(FEATURES), list(REAL.values()))
    left.plot(path.factors, sizes[:, others], color="0.75", linewidth=0.8)
    for name, column in REAL.items():
        left.plot(path.factors, sizes[:, column], linewidth=2, label=name)
    left.plot([], color="0.75", label="the 95 others")
    left.set(xscale="log", xlabel="strength of the penalty", ylabel="norm of a column's weights")
    left.set_title("Group log-sum: what does nothing dies first")
    left.legend()
    for name, scores in tests.items():
        # Two of the lines are one: ours is seen on both sides of it.
        style = {"linewidth": 5, "alpha": 0.5} if name == "group log-sum" else {}
        (line,) = right.plot(COUNTS[:-1], scores[:-1], marker=".", label=name, **style)
        if COUNTS[chosen[name]] < FEATURES:
            right.plot(COUNTS[chosen[name]], scores[chosen[name]], "o", color=line.get_color(), markersize=10)
    everything = np.mean([scores[-1] for scores in tests.values()])
    right.axhline(everything, color="black", linestyle="--", linewidth=1, label="all 100 columns")
    right.set(xlabel="columns, the first of each order", ylabel="test R² of a network on them", ylim=(0, 1))
    right.set_title("Large points: chosen on held-out data")
    right.legend(loc="lower right")
    figure.savefig(file, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=30, help="of the path")
    parser.add_argument("--steps", type=int, default=200, help="training steps at each point of the path")
    parser.add_argument("--refit", type=int, default=1500, help="training steps of a network on k columns")
    parser.add_argument(
        "--out", type=File, default=File("feature_selection.png"), help="the picture to write"
    )
    parser.add_argument("--quick", action="store_true", help="15 points of 100 steps, refits of 200")
    args = parser.parse_args()
    points, steps, refit = (15, 100, 200) if args.quick else (args.points, args.steps, args.refit)
    console = Console()
    data, held_out, test = make_data(seed=0)

    # ε, the size from which on the log-sum pulls less, is a third of the size that a column begins with.
    ours = {
        "group log-sum": Grouped(LogSum(1.0, epsilon=0.3 / FEATURES**0.5), axis=0),
        "group lasso": GroupLasso(1.0, axis=0),
    }
    orders, paths, seconds = {}, {}, {}
    for name in (*ours, "L1 linear model", "mutual information", "random forest"):
        with console.status(f"{name} ..."):
            begun = time.perf_counter()
            if name in ours:
                penalty = ours[name].on("first/kernel")
                ranking, paths[name] = rank_by_path(penalty, data, held_out, points, steps)
                orders[name] = ranking.order
            else:
                orders[name] = by_scikit_learn(name, data)
            seconds[name] = time.perf_counter() - begun

    table = Table(title=f"Five of {FEATURES} columns matter: {', '.join(REAL)}")
    table.add_column("columns ordered by", no_wrap=True)
    for column in ("first five", "chosen", "among them", "test R²", "seconds"):
        table.add_column(column, justify="right")
    judge, tests, chosen = make_judge(data, refit), {}, {}
    with console.status("networks on the first columns of each ..."):
        for name, order in orders.items():
            networks = judge(order)
            chosen[name] = int(np.argmax(jax.vmap(r2, (0, None))(networks, held_out)))
            tests[name] = np.asarray(jax.vmap(r2, (0, None))(networks, test))
            table.add_row(name, *table_row(order, chosen[name], tests[name]), f"{seconds[name]:.1f}")
    everything = np.mean([scores[-1] for scores in tests.values()])
    table.add_row("none: all columns", "", f"{FEATURES}", "abcde", f"{everything:.3f}", "")
    console.print(table)
    draw(paths["group log-sum"], tests, chosen, args.out)
    page = args.out.with_suffix(".html")
    names = [next((name for name, at in REAL.items() if at == i), f"other {i}") for i in range(FEATURES)]
    title = "Which of 100 columns matter"
    write_page(paths["group log-sum"], page, leaf="first/kernel", names=names, title=title)
    console.print(f"The picture: {args.out}; the page: {page}")


if __name__ == "__main__":
    main()
