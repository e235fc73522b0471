"""The lasso and the group lasso by mini-batches, against the exact solution.

Of 12 trials each method keeps that of the lowest objective on two runs, and is measured on three others.
Flips are weights, or groups, that become zero or leave zero, for 1,000 steps of the last fifth.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from rich.table import Table

from benchmarks.results import Row
from benchmarks.rivals.methods import METHODS, Method
from benchmarks.rivals.regularizers import Groups, Lasso
from benchmarks.timing import console

ROWS, FEATURES, SIZE, BATCH = 800, 160, 5, 32
TUNED, MEASURED = (0, 1), (2, 3, 4)


class Problem(NamedTuple):
    x: Any
    y: Any
    regularizer: Any
    solution: Any
    margin: float  # how far below the strength the largest gradient at a zero is, as a share


class Run(NamedTuple):
    params: Any
    flips: Any


def problem(seed: int, noise: float, share: float, *, groups: bool) -> Problem:
    """Standardized data of few true features, and the solution at a share of the largest strength."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(ROWS, FEATURES))
    truth = np.zeros(FEATURES)
    truth[: 4 * SIZE] = random.normal(size=4 * SIZE) * np.repeat(np.linspace(0.3, 1, 4), SIZE)
    y = x @ truth + noise * random.normal(size=ROWS)
    x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
    size = SIZE if groups else 1
    largest = _norms(x.T @ y / ROWS, size).max() / size**0.5
    strength = share * largest
    solution = solve(x, y, strength, size)
    slopes = _norms(x.T @ (y - x @ solution) / ROWS, size)[_norms(solution, size) == 0]
    return Problem(
        x, y, (Groups if groups else Lasso)(strength), solution, 1 - slopes.max() / (strength * size**0.5)
    )


def _norms(w: np.ndarray, size: int) -> np.ndarray:
    return np.linalg.norm(w.reshape(-1, size), axis=1)


def solve(x: np.ndarray, y: np.ndarray, strength: float, size: int, steps: int = 4_000) -> np.ndarray:
    """Accelerated proximal gradient (Beck and Teboulle 2009), with restarts, in float64."""
    gram, moments = x.T @ x / len(y), x.T @ y / len(y)
    step, t = 1 / np.linalg.norm(gram, 2), 1.0
    w = ahead = np.zeros(x.shape[1])
    for _ in range(steps):
        moved = (ahead - step * (gram @ ahead - moments)).reshape(-1, size)
        norm = np.linalg.norm(moved, axis=1, keepdims=True)
        new = (moved * np.maximum(1 - step * strength * size**0.5 / np.maximum(norm, 1e-300), 0)).ravel()
        if (ahead - new) @ (new - w) > 0:
            t = 1.0
        following = (1 + np.sqrt(1 + 4 * t * t)) / 2
        ahead, w, t = new + (t - 1) / following * (new - w), new, following
    return w


def as_kernel(w: Any, regularizer: Any) -> Any:
    """A column for each group; one column in all without groups."""
    return w.reshape(-1, SIZE).T if isinstance(regularizer, Groups) else w.reshape(-1, 1)


def as_weights(kernel: Any) -> Any:
    return jnp.ravel(kernel.T)


def run(
    method: Method, given: Problem, rate: Array, other: Array, seed: Array, steps: int, batch: int
) -> Run:
    """Mini-batches from zero; with a batch of 0, full gradients."""
    x, y = jnp.asarray(given.x, jnp.float32), jnp.asarray(given.y, jnp.float32)
    optimizer = method.make(given.regularizer, rate, other, steps)

    def step(carry: Any, key: Array) -> Any:
        params, state = carry
        rows = jax.random.randint(key, (batch,), 0, len(y)) if batch else jnp.arange(len(y))
        a = x[rows]
        slope = a.T @ (a @ as_weights(params["kernel"]) - y[rows]) / len(rows)
        updates, state = optimizer.update({"kernel": as_kernel(slope, given.regularizer)}, state, params)
        moved = {"kernel": params["kernel"] + updates["kernel"]}
        alive = given.regularizer.alive
        return (moved, state), (alive(moved["kernel"]) != alive(params["kernel"])).sum()

    params = {"kernel": as_kernel(jnp.zeros(x.shape[1]), given.regularizer)}
    keys = jax.random.split(jax.random.key(seed), steps)
    (params, _), flips = jax.lax.scan(step, (params, optimizer.init(params)), keys)
    return Run(as_weights(params["kernel"]), flips[-steps // 5 :].mean() * 1_000)


def objective(given: Problem, w: np.ndarray) -> float:
    w, size = np.asarray(w, float), SIZE if isinstance(given.regularizer, Groups) else 1
    penalty = float(given.regularizer.strength) * size**0.5 * _norms(w, size).sum()
    return 0.5 * float(np.mean((given.y - given.x @ w) ** 2)) + penalty


def gap(given: Problem, w: np.ndarray) -> float:
    """How far above the lowest objective, as a share of it; infinite where w is not finite."""
    least = objective(given, given.solution)
    return (objective(given, w) - least) / least if np.isfinite(w).all() else np.inf


def score(given: Problem, w: np.ndarray) -> float:
    """F1 of the support."""
    size = SIZE if isinstance(given.regularizer, Groups) else 1
    found, true = _norms(w, size) != 0, _norms(given.solution, size) != 0
    return float(2 * (found & true).sum() / (found.sum() + true.sum()))


def convex(*, groups: bool, steps: int) -> list[Row]:
    """Means of the gaps, the worst F1, and means of the flips, over three problems."""
    what = "group lasso" if groups else "lasso"
    kinds = ((5, 1.2, 0.15), (9, 2.5, 0.10), (39, 2.5, 0.10))
    problems = [problem(*kind, groups=groups) for kind in kinds]
    title = f"{what}, {ROWS} × {FEATURES}, batches of {BATCH}, {steps} steps"
    table = Table(title=f"{title}; margins {', '.join(f'{100 * p.margin:.1f} %' for p in problems)}")
    for column in ("method", "gap", "worst F1", "flips", "rates"):
        table.add_column(column, justify="left" if column == "method" else "right")
    rows = []
    for name, method in METHODS.items():
        if groups and not method.groups:
            continue
        trials = [(rate, other) for rate in method.rates for other in method.others]
        rates, others = (jnp.asarray(column, jnp.float32) for column in zip(*trials, strict=True))

        @jax.jit
        def many(given: Problem, rates: Array, others: Array, seeds: Array, method: Method = method) -> Run:
            one = functools.partial(run, method, given, steps=steps, batch=BATCH)
            of_seeds = jax.vmap(one, (None, None, 0))
            return jax.vmap(of_seeds, (0, 0, None))(rates, others, seeds)

        gaps, scores, flips, chosen = [], [], [], []
        for given in problems:
            tuned = np.asarray(many(given, rates, others, jnp.asarray(TUNED)).params)
            best = int(np.argmin([np.mean([gap(given, w) for w in of_seeds]) for of_seeds in tuned]))
            chosen.append(trials[best])
            at = slice(best, best + 1)
            found = many(given, rates[at], others[at], jnp.asarray(MEASURED))
            weights = np.asarray(found.params)[0]
            gaps.append(np.mean([gap(given, w) for w in weights]))
            scores.append(min(score(given, w) for w in weights))
            flips.append(np.asarray(found.flips).mean())
        numbers = {"gap": float(np.mean(gaps)), "worst F1": min(scores), "flips": float(np.mean(flips))}
        rows.append(Row(title, name, numbers))
        shown = ", ".join(f"{rate:.1g}" for rate, _ in chosen)
        table.add_row(
            name, f"{numbers['gap']:.1e}", f"{numbers['worst F1']:.2f}", f"{numbers['flips']:.1f}", shown
        )
    console.print(table)
    return rows
