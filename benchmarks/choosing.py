"""What it costs to choose a strength: a warm path, cross-validation, `solve`, a target.

python -m benchmarks.choosing    --quick    --save FILE

- A warm path over 30 strengths against 30 trainings of their own, without and with compilation of both.
- Cross-validation of a lasso in one vmapped run, compiled before, against LassoCV, skglm and celer.
- `solve` on one lasso, compiled before, against scikit-learn's Lasso.
- A training step of `to_sparsity` against one of `penalized`.

Peers get the loosest of a few tolerances with which their result is as near to the exact one as ours.
"""

import argparse
import functools
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso
from sklearn.preprocessing import PolynomialFeatures

from benchmarks.lasso_peers import lasso_peers
from benchmarks.results import Row, add_save, save
from benchmarks.small_networks import MLP
from benchmarks.targets import Training
from benchmarks.timing import Ratio, console, medians, show
from benchmarks.training import Recipe, deep_network, stepping
from penalties import L1, cross_validate, fit_path, kernels, penalized, solve, to_sparsity

TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)


def path(count: int, dense: int, each: int, cold: int, repeats: int) -> list[Row]:
    """`dense` steps without a penalty and `each` for a strength, against `cold` for each from the start."""
    training, penalty, seed = Training("adam", cold), L1(1.0).on(kernels), jnp.uint32(0)
    factors = np.geomspace(1e-4, 1e-1, count)

    def trained(optimizer: Any, params: Any, steps: int) -> Any:
        return training.by(optimizer, params, optimizer.init(params), seed, 0, steps)[0]

    def accuracy(params: Any) -> Any:
        return jnp.mean(MLP.logits(params, training.test.x).argmax(-1) == training.test.y)

    start = jax.jit(lambda: trained(optax.adam(2e-3), MLP.init(seed), dense))

    def along(train: Callable[..., Any], some: np.ndarray) -> Any:
        return fit_path(train, penalty, some, start(), score=accuracy, progress=False)

    def warm(some: np.ndarray) -> Any:
        return along(lambda p, params: trained(penalized(optax.adam(2e-3), p), params, each), some)

    def alone(some: np.ndarray) -> Any:
        rate = optax.cosine_decay_schedule(3e-3, cold)
        return along(lambda p, params: trained(penalized(optax.adam(rate), p), MLP.init(seed), cold), some)

    paths = {"warm": warm(factors), "alone": alone(factors)}
    for share in (0.9, 0.95, 0.98):
        points = {name: found[int(abs(found.shares - share).argmin())] for name, found in paths.items()}
        said = (f"{name} {point.score:.1%} with {point.share:.1%} zeros" for name, point in points.items())
        console.print(f"digits, about {share:.0%} zeros, before any refit: {'; '.join(said)}")
    times = medians(
        {"start": start}
        | {f"warm, {len(some)}": lambda some=some: warm(some).scores for some in (factors[:1], factors)}
        | {f"alone, {len(some)}": lambda some=some: alone(some).scores for some in (factors[:1], factors)},
        repeats,
    )
    # What one more strength takes, without what is compiled; a path has its dense start besides.
    more = {
        name: (times[f"{name}, {count}"] - times[f"{name}, 1"]) / (count - 1) for name in ("warm", "alone")
    }
    compiled = times["start"] + count * more["warm"], count * more["alone"]
    return show(
        f"{count} strengths",
        [
            Ratio("a warm path, compiled", "trainings of their own", *compiled, 1 / 6),
            Ratio(
                "the same, with compilation",
                "trainings of their own",
                times[f"warm, {count}"],
                times[f"alone, {count}"],
                None,
            ),
        ],
        "s",
    )


def with_intercept(params: Any, x: Any, y: Any) -> Any:
    residual = x @ params["w"] + params["b"] - y
    return jnp.mean(residual**2)


def diabetes(squares: bool) -> tuple[np.ndarray, np.ndarray]:
    """442 × 10; or × 64 with squares and products, but that of the sex, which is the sex again."""
    x, y = load_diabetes(return_X_y=True)
    if squares:
        x = np.delete(PolynomialFeatures(2, include_bias=False).fit_transform(x), 20, 1)
    return (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()


def cross_validation(squares: bool, count: int, goal: float, repeats: int) -> list[Row]:
    x, y = diabetes(squares)
    alphas = np.abs(x.T @ y).max() / len(y) * np.geomspace(1, 1e-3, count)
    data = jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)
    start = {"w": jnp.zeros(x.shape[1]), "b": jnp.zeros(())}

    def ours() -> Any:
        return cross_validate(with_intercept, L1(2.0).on("w"), *data, factors=alphas, params=start, tol=1e-4)

    peers = lasso_peers(x, y, alphas, 5)
    exact = peers["LassoCV"](1e-10)
    error = np.abs(ours().mean - exact).max() / exact.min()
    rivals: dict[str, Callable[[], Any]] = {}
    for name, mean in peers.items():
        tolerance = as_exact(lambda t, mean=mean: np.abs(mean(t) - exact).max() / exact.min(), error)
        rivals[f"{name}(tol={tolerance:.0e})"] = functools.partial(mean, tolerance)
    times = medians({"ours": lambda: ours().mean} | rivals, repeats)
    title = f"cross-validation, {x.shape[0]} × {x.shape[1]}, {count} strengths, 5 folds; error {error:.0e}"
    goals = dict.fromkeys(rivals) | {next(iter(rivals)): goal}
    return show(
        title, [Ratio("cross_validate", name, times["ours"], times[name], goals[name]) for name in rivals]
    )


def one_lasso(samples: int, features: int, repeats: int) -> list[Row]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(samples, features))
    y = x[:, :10] @ rng.normal(size=10) + 0.1 * rng.normal(size=samples)
    alpha = 0.1 * np.abs(x.T @ y).max() / samples
    data, start = (jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)), jnp.zeros(features)

    def objective(w: Any) -> float:
        w = np.asarray(w, np.float64)
        return float(np.mean((x @ w - y) ** 2) / 2 + alpha * np.abs(w).sum())

    def ours() -> Any:
        return solve(half_mean_squares, L1(alpha), start, *data, tol=1e-4).params

    def theirs(tolerance: float) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return Lasso(alpha, fit_intercept=False, tol=tolerance, max_iter=100_000).fit(x, y).coef_

    lowest = objective(theirs(1e-12))
    gap = objective(ours()) / lowest - 1
    tolerance = as_exact(lambda t: objective(theirs(t)) / lowest - 1, gap)
    times = medians({"ours": ours, "theirs": lambda: theirs(tolerance)}, repeats)
    title = f"a lasso, {samples} × {features}; the objective is {gap:.0e} above the lowest"
    return show(title, [Ratio("solve", f"Lasso(tol={tolerance:.0e})", times["ours"], times["theirs"], 1.5)])


def half_mean_squares(w: Any, x: Any, y: Any) -> Any:
    return jnp.mean((x @ w - y) ** 2) / 2


def as_exact(error: Callable[[float], float], wanted: float) -> float:
    """The loosest tolerance with an error as small as that, or the tightest there is."""
    return next((t for t in TOLERANCES if error(t) <= wanted), TOLERANCES[-1])


def target(width: int, layers: int, batch: int, repeats: int) -> list[Row]:
    params, loss = deep_network(width, layers, batch)
    penalty = L1(1e-5).on("**/kernel")
    ours = to_sparsity(optax.adam(1e-3), penalty, 0.9, steps=1_000_000)
    rivals = {
        "ours": stepping(Recipe(ours), loss, params),
        "penalized": stepping(Recipe(penalized(optax.adam(1e-3), penalty)), loss, params),
    }
    times = medians(rivals, repeats)
    title = f"a training step: {layers} layers, {width} wide, batch {batch}"
    return show(title, [Ratio("to_sparsity", "penalized", times["ours"], times["penalized"], 1.03)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    add_save(parser)
    asked = parser.parse_args()
    quick = asked.quick
    rows = path(*((3, 10, 5, 10, 1) if quick else (30, 500, 100, 1_000, 3)))
    rows += cross_validation(False, 5 if quick else 100, 1 / 4, 1 if quick else 11)
    if not quick:
        rows += cross_validation(True, 100, 1 / 2, 11)
    rows += one_lasso(*((20, 30, 1) if quick else (100, 500, 31)))
    rows += target(*((64, 2, 8, 3) if quick else (1024, 4, 128, 41)))
    if not quick:
        rows += target(2048, 4, 256, 21)
    save(asked.save, rows)


if __name__ == "__main__":
    main()
