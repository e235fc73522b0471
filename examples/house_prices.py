"""House prices: which features matter? No penalty, L2, L1 and ElasticNet, in Flax, optax and Keras.

    python examples/house_prices.py            # about 15 seconds; writes house_prices.png
    python examples/house_prices.py --quick    # about 10 seconds

546 houses were sold in Windsor, Canada, in 1987. We know 11 real things about each, and add made-up
ones that cannot matter: the colour of the house and columns of noise. With 160 features and only 150
houses to learn from, a linear model without a penalty learns the noise by heart. You will see

- that each penalty repairs this, and what it does to the weights;
- that the penalty in the loss, in the optax chain and in Keras are one and the same thing, and all
  agree with scikit-learn, which solves the same problem in another way;
- that L1 in a loss makes weights small but never zero, and that `penalized` makes them exactly zero:
  the same ones as scikit-learn's Lasso.

The model is linear in the standardized features, for then each weight is a plain statement: so many
dollars for one standard deviation more of this feature. It predicts the price in thousands of dollars
above the average. It trains on full batches, so that there is one right answer to compare with.

The strengths are chosen without a look at the test houses, by scikit-learn's cross-validation on the
training houses: for L2, which selects nothing, the strength of least error; for L1 and ElasticNet the
one-standard-error rule (the strongest penalty whose error is within one standard error of the least),
for the strength of least error is known to keep noise: the last line printed says how much. Of 20 seeds
L1 kept none of the 149 made-up features in 13, and one or two in the others. Without a penalty there is
no one right answer, for 160 weights fit 150 prices in many ways: its error depends on when training stops.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ["KERAS_BACKEND"] = "jax"  # before keras is imported

import jax
import jax.numpy as jnp
import keras
import matplotlib
import numpy as np
import optax
from flax import nnx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sklearn import linear_model

import penalties.keras
from penalties import L1, L2, ElasticNet, Penalty, add_penalty, kernels, penalized

matplotlib.use("agg")
import matplotlib.pyplot as plt

TABLE = Path(__file__).parent / "data" / "house_prices.csv"
REAL_FEATURES = {
    "lotsize": "lot size",
    "bedrooms": "bedrooms",
    "bathrooms": "bathrooms",
    "stories": "storeys",
    "driveway": "driveway",
    "recreation": "recreation room",
    "fullbase": "full basement",
    "gasheat": "gas heating",
    "aircon": "air conditioning",
    "garage": "garage places",
    "prefer": "preferred area",
}
COLOURS = ["white", "red", "blue", "green", "yellow", "brown", "grey", "black"]
REAL, MADE_UP, MADE_UP_TEXT, BLOCK = "#0072B2", "#E69F00", "#8F5F00", "#FDF5E6"  # safe for colour-blind eyes
STRENGTHS = np.geomspace(20, 0.5, 40)  # scikit-learn's α
NEAR_ZERO = 1e-3  # the weights are in thousands of dollars: one dollar


# The data


class Houses(NamedTuple):
    """Standardized features, and prices in thousands of dollars above the average of the training houses."""

    names: list[str]
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def load_houses(*, n_train: int = 150, n_noise: int = 141, seed: int = 0) -> Houses:
    """The real features first, then the colours (one column each), then the noise."""
    columns = np.genfromtxt(TABLE, delimiter=",", names=True, dtype=None, encoding="utf-8")
    price = columns["price"] / 1000
    real = np.column_stack([as_number(columns[name]) for name in REAL_FEATURES])

    rng = np.random.default_rng(seed)
    colour = np.eye(len(COLOURS))[rng.integers(len(COLOURS), size=len(price))]
    noise = rng.standard_normal((len(price), n_noise))
    features = np.column_stack([real, colour, noise])
    names = [*REAL_FEATURES.values(), *COLOURS, *(f"noise {i + 1}" for i in range(n_noise))]

    order = rng.permutation(len(price))
    train, test = order[:n_train], order[n_train:]
    features = (features - features[train].mean(axis=0)) / features[train].std(axis=0)
    price = price - price[train].mean()
    features, price = features.astype(np.float32), price.astype(np.float32)
    return Houses(names, features[train], price[train], features[test], price[test])


def as_number(column: np.ndarray) -> np.ndarray:
    return (column == "yes").astype(float) if column.dtype.kind == "U" else column.astype(float)


# The penalties, and scikit-learn's spelling of them
#
# Our loss is the mean squared error, mean((y − Xw)²). Scikit-learn has 1/(2n)·‖y − Xw‖² in Lasso and
# ElasticNet, half of it, and ‖y − Xw‖² in Ridge, n times it. Hence
#
#   Lasso(α)              =  L1(2α)
#   ElasticNet(α, ρ)      =  ElasticNet(l1=2αρ, l2=α(1 − ρ))         ρ is its l1_ratio
#   Ridge(α)              =  L2(α/n)


def lasso_as_penalty(lasso: linear_model.Lasso) -> L1:
    return L1(2 * lasso.alpha)


def elastic_net_as_penalty(net: linear_model.ElasticNet) -> ElasticNet:
    return ElasticNet(l1=2 * net.alpha * net.l1_ratio, l2=net.alpha * (1 - net.l1_ratio))


def ridge_as_penalty(ridge: linear_model.Ridge, n: int) -> L2:
    return L2(ridge.alpha / n)


class Choice(NamedTuple):
    """A penalty, and scikit-learn's solution for it."""

    penalty: Penalty
    reference: Any


def choose_strengths(houses: Houses) -> dict[str, Choice]:
    """By scikit-learn's cross-validation, on the training houses alone."""
    x, y = houses.x_train.astype(np.float64), houses.y_train.astype(np.float64)
    n = len(x)
    grid = STRENGTHS
    precisely = {"tol": 1e-10, "max_iter": 100_000}

    errors = linear_model.LassoCV(alphas=grid, cv=10).fit(x, y).mse_path_
    lasso = linear_model.Lasso(strongest_good_one(grid, errors), **precisely)
    errors = linear_model.ElasticNetCV(alphas=grid, l1_ratio=0.8, cv=10).fit(x, y).mse_path_
    net = linear_model.ElasticNet(strongest_good_one(grid, errors), l1_ratio=0.8, **precisely)
    ridge = linear_model.Ridge(linear_model.RidgeCV(alphas=n * grid).fit(x, y).alpha_)
    return {
        "L2": Choice(ridge_as_penalty(ridge, n), ridge.fit(x, y)),
        "ElasticNet": Choice(elastic_net_as_penalty(net), net.fit(x, y)),
        "L1": Choice(lasso_as_penalty(lasso), lasso.fit(x, y)),
    }


def strongest_good_one(strengths: np.ndarray, errors: np.ndarray) -> float:
    """The strongest whose mean error is within one standard error of the least; errors: strengths × folds."""
    mean = errors.mean(axis=1)
    standard_error = errors.std(axis=1, ddof=1) / np.sqrt(errors.shape[1])
    good = mean <= (mean + standard_error)[mean.argmin()]
    return float(strengths[good].max())


def least_error_lasso(houses: Houses) -> L1:
    """What cross-validation alone would choose: a better forecast, with noise in it."""
    cv = linear_model.LassoCV(alphas=STRENGTHS, cv=10).fit(houses.x_train, houses.y_train)
    return L1(2 * cv.alpha_)


# The model and its training


def make_model(n_features: int) -> nnx.Linear:
    zeros = nnx.initializers.zeros_init()
    return nnx.Linear(n_features, 1, kernel_init=zeros, rngs=nnx.Rngs(0))


def mean_squared_error(model: nnx.Module, x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.mean((model(x)[:, 0] - y) ** 2)


def learning_rate(steps: int) -> optax.Schedule:
    return optax.cosine_decay_schedule(0.1, steps)


class Way(NamedTuple):
    """What to minimize, and with what."""

    loss: Callable[[nnx.Module, jax.Array, jax.Array], jax.Array]
    optimizer: optax.GradientTransformation


def without_penalty(steps: int) -> Way:
    return Way(mean_squared_error, optax.adam(learning_rate(steps)))


def in_the_loss(penalty: Penalty, steps: int) -> Way:
    def loss(model, x, y):
        return mean_squared_error(model, x, y) + penalty(model)

    return Way(loss, optax.adam(learning_rate(steps)))


def in_the_chain(penalty: Penalty, steps: int) -> Way:
    return Way(mean_squared_error, optax.chain(add_penalty(penalty), optax.adam(learning_rate(steps))))


def exactly(penalty: Penalty, steps: int) -> Way:
    return Way(mean_squared_error, penalized(optax.adam(learning_rate(steps)), penalty))


def train_flax(
    way: Way, houses: Houses, steps: int, on_tick: Callable[[int], None] = lambda n: None, *, ticks: int = 20
) -> np.ndarray:
    """The trained weights, one a feature. Runs the steps in `ticks` compiled chunks."""
    graph, params = nnx.split(make_model(houses.x_train.shape[1]), nnx.Param)
    x, y = jnp.asarray(houses.x_train), jnp.asarray(houses.y_train)

    def step(carry, _):
        params, state = carry
        grads = jax.grad(lambda params: way.loss(nnx.merge(graph, params), x, y))(params)
        updates, state = way.optimizer.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), None

    chunk = steps // ticks
    run = jax.jit(lambda carry: jax.lax.scan(step, carry, length=chunk)[0])
    carry = params, way.optimizer.init(params)
    for _ in range(ticks):
        carry = jax.block_until_ready(run(carry))
        on_tick(chunk)
    return np.asarray(nnx.merge(graph, carry[0]).kernel[...])[:, 0]


def train_keras(
    penalty: Penalty, houses: Houses, steps: int, on_tick: Callable[[int], None] = lambda n: None
) -> np.ndarray:
    """The same model in Keras, with the penalty as its `kernel_regularizer`."""
    model = keras.Sequential(
        [
            keras.Input([houses.x_train.shape[1]]),
            keras.layers.Dense(1, kernel_initializer="zeros", kernel_regularizer=as_regularizer(penalty)),
        ]
    )
    rate = keras.optimizers.schedules.CosineDecay(0.1, steps)
    model.compile(keras.optimizers.Adam(rate, epsilon=1e-8), loss="mean_squared_error")
    tick = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: on_tick(1))
    x, y = houses.x_train, houses.y_train[:, None]
    model.fit(x, y, batch_size=len(x), epochs=steps, callbacks=[tick], verbose=0)
    return np.asarray(model.layers[-1].kernel)[:, 0]


def as_regularizer(penalty: Penalty) -> keras.Regularizer:
    """Drop-in replacements for keras.regularizers; `penalties.keras.Regularizer` takes any penalty."""
    match penalty:
        case L1():
            return penalties.keras.L1(float(penalty.strength))
        case L2():
            return penalties.keras.L2(float(penalty.strength))
        case ElasticNet():
            return penalties.keras.L1L2(l1=float(penalty.l1), l2=float(penalty.l2))
        case _:
            return penalties.keras.Regularizer(penalty)


def train_all(houses: Houses, choices: dict[str, Choice], steps: int, console: Console | None = None):
    """Weights of every (way, penalty): {("loss", "L1"): weights, ...}."""
    weights = {}
    total = (1 + 4 * len(choices)) * steps
    columns = [TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    with Progress(*columns, TextColumn("steps"), console=console) as progress:
        task = progress.add_task("", total=total)

        def train(way, name, train_it):
            progress.update(task, description=f"{name}, {way}" if name else way)
            weights[way, name] = train_it(lambda n: progress.advance(task, n))

        def flax(way):
            return lambda on_tick: train_flax(way, houses, steps, on_tick)

        train("no penalty", "", flax(without_penalty(steps)))
        for name, (penalty, _) in choices.items():
            on_weights = penalty.on(kernels)  # weights, not biases
            train("in the loss", name, flax(in_the_loss(on_weights, steps)))
            train("in the chain", name, flax(in_the_chain(on_weights, steps)))
            train("in Keras", name, lambda tick, p=penalty: train_keras(p, houses, steps, tick))
            train("penalized", name, flax(exactly(on_weights, steps)))
        progress.update(task, description="trained")
    return weights


# What came out


def average_error(weights: np.ndarray, houses: Houses) -> float:
    """By how many dollars the price of a test house is missed, on average."""
    return 1000 * float(np.mean(np.abs(houses.x_test @ weights - houses.y_test)))


def near_zero(weights: np.ndarray) -> int:
    return int(np.sum(np.abs(weights) < NEAR_ZERO))


def exactly_zero(weights: np.ndarray) -> int:
    return int(np.sum(weights == 0))


def relative_difference(weights: np.ndarray, reference: np.ndarray) -> float:
    return float(np.linalg.norm(weights - reference) / np.linalg.norm(reference))


def ways_table(weights: dict, choices: dict[str, Choice], houses: Houses) -> Table:
    table = Table(title="One model, one problem, several ways", title_justify="left")
    table.add_column("penalty", no_wrap=True)
    table.add_column("where")
    table.add_column("test error", justify="right")
    table.add_column("near zero\n(below $1)", justify="right")
    table.add_column("exactly\nzero", justify="right")
    table.add_column("made-up,\nexactly zero", justify="right")
    table.add_column("distance from\nscikit-learn", justify="right")
    n_real = len(REAL_FEATURES)
    for (way, name), w in weights.items():
        reference = choices[name].reference.coef_ if name else None
        penalty = str_of(choices[name].penalty) if name else "none"
        table.add_row(
            penalty if way in ("no penalty", "in the loss") else "",
            way if name else "",
            f"${average_error(w, houses):,.0f}",
            str(near_zero(w)),
            str(exactly_zero(w)),
            f"{exactly_zero(w[n_real:])} of {len(w) - n_real}",
            "" if reference is None else f"{relative_difference(w, reference):.0e}",
            end_section=way in ("no penalty", "penalized"),
        )
    return table


def str_of(penalty: Penalty) -> str:
    match penalty:
        case ElasticNet():
            return f"ElasticNet({penalty.l1:.3g}, {penalty.l2:.3g})"
        case _:
            return f"{type(penalty).__name__}({penalty.strength:.3g})"


def weights_table(weights: dict, houses: Houses) -> Table:
    table = Table(title="Dollars for one standard deviation more", title_justify="left")
    shown = {
        "no penalty": ("no penalty", ""),
        "L2": ("penalized", "L2"),
        "ElasticNet\nin the loss": ("in the loss", "ElasticNet"),
        "ElasticNet\npenalized": ("penalized", "ElasticNet"),
        "L1\nin the loss": ("in the loss", "L1"),
        "L1\npenalized": ("penalized", "L1"),
    }
    table.add_column("feature")
    for heading in shown:
        table.add_column(heading, justify="right")
    n_real = len(REAL_FEATURES)
    for i in range(n_real):
        cells = [dollars(weights[key][i]) for key in shown.values()]
        table.add_row(houses.names[i], *cells, end_section=i == n_real - 1)
    largest = [dollars(np.abs(weights[key][n_real:]).max()) for key in shown.values()]
    table.add_row("largest made-up", *largest)
    return table


def dollars(weight: float) -> str:
    """A weight as dollars; an exact zero looks different from a small number."""
    if weight == 0:
        return "[bold cyan]0[/]"
    return f"{1000 * weight:,.0f}" if abs(weight) >= NEAR_ZERO else f"{1000 * weight:.0e}"


def draw(weights: dict, houses: Houses, path: Path) -> None:
    """One row a feature, one column a penalty; what is exactly zero has no bar."""
    names = ["", "L2", "ElasticNet", "L1"]
    n_real, n_made_up = len(REAL_FEATURES), len(houses.names) - len(REAL_FEATURES)
    # The real features get wide rows with names; the made-up ones share a block of thin rows below.
    block_top, block_height = n_real - 0.1, 10
    rows = [*np.arange(n_real), *(block_top + 1.7 + np.arange(n_made_up) * (block_height - 2) / n_made_up)]
    heights = [0.7] * n_real + [(block_height - 2) / n_made_up] * n_made_up
    colours = [REAL] * n_real + [MADE_UP] * n_made_up

    figure, axes = plt.subplots(1, len(names), figsize=(12, 7.2), sharey=True, layout="constrained")
    for ax, name in zip(axes, names, strict=True):
        w = weights["penalized" if name else "no penalty", name]
        ax.axhspan(block_top, block_top + block_height, color=BLOCK, linewidth=0)
        ax.barh(rows, w, height=heights, color=colours)
        ax.axvline(0, color="0.4", linewidth=0.8)
        ax.set_title(f"{name or 'no penalty'}\n", fontsize=15, fontweight="bold")
        miss = f"misses by ${average_error(w, houses):,.0f}"
        ax.text(0.5, 1.012, miss, transform=ax.transAxes, ha="center", fontsize=12)
        zeros = f"{exactly_zero(w[n_real:]) or 'none'} of {n_made_up} exactly zero"
        at_top = {"ha": "center", "va": "center", "backgroundcolor": BLOCK}
        ax.text(0, block_top + 0.85, zeros, fontsize=11.5, color=MADE_UP_TEXT, **at_top)
        ax.tick_params(axis="y", length=0)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.set_xlim(-13, 13)
        ax.set_xticks([-10, 0, 10], ["−$10,000", "0", "$10,000"])

    labels = [*houses.names[:n_real], f"{n_made_up} made-up\nfeatures\n(colour of the\nhouse, noise)"]
    axes[0].set_yticks([*range(n_real), block_top + block_height / 2], labels, fontsize=11.5)
    axes[0].get_yticklabels()[-1].set_color(MADE_UP_TEXT)
    axes[0].set_ylim(block_top + block_height, -0.7)
    dropped = exactly_zero(weights["penalized", "L1"][n_real:])
    which = "every one" if dropped == n_made_up else f"{dropped}"
    title = f"{n_made_up} of {n_real + n_made_up} features are made up: L1 drops {which} of them"
    figure.suptitle(title, fontsize=18, fontweight="bold")
    left_over = exactly_zero(weights["in the loss", "L1"])
    figure.supxlabel(
        "what one standard deviation more of a feature adds to the price of a house\n"
        f"exact zeros by penalized(adam, ...); the same L1 written into the loss gives {left_over or 'none'}",
        fontsize=12,
    )
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3000, help="training steps of each model")
    parser.add_argument("--seed", type=int, default=0, help="of the split and the made-up features")
    parser.add_argument("--out", type=Path, default=Path("house_prices.png"), help="the picture to write")
    parser.add_argument("--quick", action="store_true", help="few steps, not to convergence")
    args = parser.parse_args()
    steps = 200 if args.quick else args.steps

    console = Console()
    console = Console(width=max(console.width, 110))
    houses = load_houses(seed=args.seed)
    n_train, n_features = houses.x_train.shape
    console.print(
        f"\n{n_train} houses to learn from, {len(houses.y_test)} to test on; {n_features} features: "
        f"{len(REAL_FEATURES)} real, {n_features - len(REAL_FEATURES)} made up."
    )
    console.print("Choosing the strengths by cross-validation ...")
    choices = choose_strengths(houses)
    weights = train_all(houses, choices, steps, console)
    console.print(ways_table(weights, choices, houses))
    console.print(weights_table(weights, houses))
    guess = average_error(np.zeros(n_features), houses)
    console.print(f"Guessing the average price for every house misses by ${guess:,.0f}.")
    penalty = least_error_lasso(houses)
    loose = train_flax(exactly(penalty.on(kernels), steps), houses, steps)
    kept = np.count_nonzero(loose[len(REAL_FEATURES) :])
    console.print(
        f"With the strength of least cross-validated error, {str_of(penalty)} misses by "
        f"${average_error(loose, houses):,.0f} and keeps {kept} made-up features."
    )
    draw(weights, houses, args.out)
    console.print(f"The picture: {args.out}\n")


if __name__ == "__main__":
    main()
