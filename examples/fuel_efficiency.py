"""Fuel efficiency: what L2 and ElasticNet do to correlated features, and L1 does not.

    python examples/fuel_efficiency.py            # about ten seconds; writes fuel_efficiency.png
    python examples/fuel_efficiency.py --quick    # a few seconds

How much fuel does a car need? Cylinders, displacement, horsepower and weight all say the same: it is a
big car (the correlation of cylinders and displacement is 0.95). A linear model cannot tell which of them
it is, least of all from few cars. So we let it try on 200 random samples of 60 cars each, and look at how
the weights differ from sample to sample. You will see that

- without a penalty, weights fly apart, and many a model says that a larger engine saves fuel;
- L1 drops one of the correlated features, or both, and which is a matter of chance;
- L2 and ElasticNet share the weight between them, and nearly the same way in every sample.

All fits, 4 penalties × 200 samples, run as one `jax.vmap` of one training function. Features are
standardized; a weight is gallons per 100 miles for one standard deviation more. The strength of each
penalty is the median, over 50 samples, of what cross-validation on the sample chooses: the strongest
within one standard error of the least error. So strong a penalty is easy to see, and costs some error on
other cars; with `--rule least-error` every penalty has a smaller error than none, and L2 and ElasticNet
share less evenly.
"""

import argparse
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn import linear_model

from penalties import ElasticNet, kernels, penalized

matplotlib.use("agg")
import matplotlib.pyplot as plt

TABLE = Path(__file__).parent / "data" / "auto_mpg.csv"
FEATURES = [
    "cylinders",
    "displacement",
    "horsepower",
    "weight",
    "acceleration",
    "year",
    "European",
    "Japanese",
]
PAIR = [0, 1]  # cylinders and displacement
BOTH, DROPPED = "#0072B2", "#D55E00"  # told apart by colour-blind people too


# The data


def load_cars() -> tuple[np.ndarray, np.ndarray]:
    """Standardized features, and gallons per 100 miles above the average."""
    cars = np.genfromtxt(TABLE, delimiter=",", names=True, dtype=None, encoding="utf-8")
    columns = [cars[name].astype(float) for name in FEATURES[:6]]
    columns += [(cars["origin"] == 2).astype(float), (cars["origin"] == 3).astype(float)]
    x, y = np.column_stack(columns), 100 / cars["mpg"]
    return (x - x.mean(axis=0)) / x.std(axis=0), y - y.mean()


def draw_samples(n: int, size: int, how_many: int, seed: int) -> np.ndarray:
    """(samples, size): the cars of each sample."""
    rng = np.random.default_rng(seed)
    return np.array([rng.permutation(n)[:size] for _ in range(how_many)])


# The penalties
#
# Scikit-learn's ElasticNet(α, ρ) minimizes 1/(2n)·‖y − Xw‖² + α·ρ·Σ|w| + α·(1 − ρ)/2·Σw². Twice that is our
# mean squared error + l1·Σ|w| + l2·Σw² with l1 = 2αρ and l2 = α(1 − ρ). Its Ridge(n·α) is our L2(α).


def choose_penalties(x: np.ndarray, y: np.ndarray, samples: np.ndarray, rule: str) -> dict[str, ElasticNet]:
    """L1 and L2 are ElasticNets with the other strength zero, so that all can be stacked and vmapped."""
    choices = []
    for rows in track(samples, "Choosing the strengths by cross-validation"):
        errors = [fold_errors(x[rows], y[rows], l1_ratio) for l1_ratio in (1.0, 0.5, 0.0)]
        choices.append([RULES[rule](e) for e in errors])
    lasso, net, ridge = np.median(choices, axis=0)
    return {
        "no penalty": ElasticNet(l1=0.0, l2=0.0),
        "L1": ElasticNet(l1=2 * lasso, l2=0.0),
        "ElasticNet": ElasticNet(l1=net, l2=net / 2),
        "L2": ElasticNet(l1=0.0, l2=ridge),
    }


ALPHAS = np.geomspace(2, 0.001, 40)


def fold_errors(x: np.ndarray, y: np.ndarray, l1_ratio: float) -> np.ndarray:
    """Squared errors (α × folds) of ten-fold cross-validation; of leave-one-out for Ridge."""
    if l1_ratio == 0:
        return linear_model.RidgeCV(len(x) * ALPHAS, store_cv_results=True).fit(x, y).cv_results_.T
    return linear_model.ElasticNetCV(l1_ratio=l1_ratio, alphas=ALPHAS, cv=10, tol=1e-3).fit(x, y).mse_path_


def least_error(errors: np.ndarray) -> float:
    return float(ALPHAS[errors.mean(axis=1).argmin()])


def one_standard_error(errors: np.ndarray) -> float:
    """The strongest α whose mean error is within one standard error of the least."""
    mean, standard_error = errors.mean(axis=1), errors.std(axis=1, ddof=1) / np.sqrt(errors.shape[1])
    return float(ALPHAS[mean <= (mean + standard_error)[mean.argmin()]].max())


RULES = {"one-standard-error": one_standard_error, "least-error": least_error}


# The model and its training


def train(penalty: ElasticNet, x: jax.Array, y: jax.Array, steps: int) -> tuple[jax.Array, jax.Array]:
    """The weights, one a feature, and the bias of a Flax model trained with exact zeros."""
    model = nn.Dense(1, kernel_init=nn.initializers.zeros)
    optimizer = penalized(optax.adam(optax.cosine_decay_schedule(0.05, steps)), penalty.on(kernels))

    def loss(params):
        return jnp.mean((model.apply(params, x)[:, 0] - y) ** 2)

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    params = model.init(jax.random.key(0), x)
    (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), length=steps)
    return params["params"]["kernel"][:, 0], params["params"]["bias"][0]


def train_all(
    penalties: dict[str, ElasticNet], x: np.ndarray, y: np.ndarray, samples: np.ndarray, steps: int
):
    """Weights (penalties, samples, features) and biases (penalties, samples), in one vmapped run."""
    stacked = jax.tree.map(lambda *strengths: jnp.array(strengths), *penalties.values())
    x, y = jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)

    def one(penalty, rows):
        return train(penalty, x[rows], y[rows], steps)

    every = jax.vmap(jax.vmap(one, in_axes=(None, 0)), in_axes=(0, None))
    return jax.tree.map(np.asarray, jax.jit(every)(stacked, jnp.asarray(samples)))


# What came out


def average_error(weights, biases, x, y, samples) -> float:
    """The average miss on the cars that are not in the sample, in gallons per 100 miles."""
    errors = np.abs(weights @ x.T + biases[:, None] - y)
    unseen = np.ones_like(errors, dtype=bool)
    np.put_along_axis(unseen, samples, False, axis=1)
    return float(errors[unseen].mean())


def dropped(weights: np.ndarray) -> np.ndarray:
    """For each sample, whether cylinders or displacement has a weight of exactly zero."""
    return np.any(weights[:, PAIR] == 0, axis=1)


def results_table(names, weights, biases, x, y, samples) -> Table:
    table = Table(
        title="Weights over the samples: mean ± standard deviation (share of exact zeros)",
        title_justify="left",
    )
    table.add_column("feature", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for j, feature in enumerate(FEATURES):
        cells = [weight_cell(w[:, j]) for w in weights]
        table.add_row(feature, *cells, end_section=j == len(FEATURES) - 1)
    saves = [f"{np.mean(w[:, PAIR[1]] < 0):.0%}" for w in weights]
    table.add_row("“a larger engine saves fuel”", *saves)
    table.add_row("cylinders or displacement dropped", *(f"{dropped(w).mean():.0%}" for w in weights))
    errors = [average_error(w, b, x, y, samples) for w, b in zip(weights, biases, strict=True)]
    table.add_row("error on other cars", *(f"{error:.3f}" for error in errors))
    return table


def weight_cell(w: np.ndarray) -> str:
    zeros = np.mean(w == 0)
    return f"{w.mean():+.2f} ± {w.std():.2f}" + (f" ({zeros:.0%})" if zeros else "")


def draw(names, weights: np.ndarray, correlation: float, size: int, path: Path) -> None:
    """One panel a penalty, one dot a sample: the weight of cylinders against that of displacement."""
    figure, axes = plt.subplots(
        1, len(names), figsize=(13, 5), sharex=True, sharey=True, layout="constrained"
    )
    limit = 1.05 * np.abs(np.array(weights)[..., PAIR]).max()
    for ax, name, w in zip(axes, names, weights, strict=True):
        cylinders, displacement = w[:, PAIR].T
        zero = dropped(w)
        ax.axhline(0, color="0.6", linewidth=0.8)
        ax.axvline(0, color="0.6", linewidth=0.8)
        ax.plot([-limit, limit], [-limit, limit], color="0.6", linewidth=0.8, linestyle=":")
        ax.scatter(cylinders[~zero], displacement[~zero], s=18, color=BOTH, alpha=0.5, linewidth=0)
        ax.scatter(cylinders[zero], displacement[zero], s=18, color=DROPPED, alpha=0.5, linewidth=0)
        ax.set_title(f"{name}\n", fontsize=15, fontweight="bold")
        negative = np.mean(np.any(w[:, PAIR] < 0, axis=1))
        if negative > 0.5:
            caption, colour = f"{negative:.0%} have one below zero: absurd", "0.2"
        elif zero.mean() > 0.5:
            caption, colour = f"{zero.mean():.0%} drop one or both, by chance", DROPPED
        else:
            caption, colour = f"{1 - zero.mean():.0%} share the weight", BOTH
        ax.text(0.5, 1.02, caption, transform=ax.transAxes, ha="center", fontsize=12, color=colour)
        ax.set(
            xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1]
        )
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_xlabel("weight of cylinders", fontsize=12)
    axes[0].set_ylabel("weight of displacement", fontsize=12)
    axes[-1].text(0.68, 0.8, "equal\nshares", ha="left", va="top", fontsize=11, color="0.4")
    figure.suptitle(
        f"Cylinders and displacement tell the same story (r = {correlation:.2f}): who gets the weight?",
        fontsize=17,
        fontweight="bold",
    )
    figure.supxlabel(
        f"each dot is one model of fuel use, trained on another {size} cars (orange: an exact zero)",
        fontsize=12,
    )
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=200, help="random samples of cars")
    parser.add_argument("--size", type=int, default=60, help="cars in each sample")
    parser.add_argument("--steps", type=int, default=6000, help="training steps of every fit")
    parser.add_argument("--rule", choices=RULES, default="one-standard-error", help="to choose the strengths")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("fuel_efficiency.png"), help="the picture to write")
    parser.add_argument("--quick", action="store_true", help="few samples and steps, not to convergence")
    args = parser.parse_args()
    how_many, steps = (20, 1000) if args.quick else (args.samples, args.steps)

    console = Console()
    console = Console(width=max(console.width, 118))
    x, y = load_cars()
    samples = draw_samples(len(y), args.size, how_many, args.seed)
    penalties = choose_penalties(x, y, samples[:50], args.rule)
    with console.status(f"{len(penalties)} penalties × {how_many} samples in one vmapped run ..."):
        weights, biases = train_all(penalties, x, y, samples, steps)
    console.print(results_table(penalties, weights, biases, x, y, samples))
    draw(penalties, weights, np.corrcoef(x[:, PAIR].T)[0, 1], args.size, args.out)
    console.print(f"The picture: {args.out}\n")


if __name__ == "__main__":
    main()
