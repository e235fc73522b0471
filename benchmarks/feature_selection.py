"""Which features matter: a path of ours beside LassoNet, L1 models, mutual information and random forests.

python -m benchmarks.feature_selection                  all data, 3 seeds
python -m benchmarks.feature_selection "digits"         some of them
python -m benchmarks.feature_selection --quick          one of them, one seed

LassoNet needs torch; it is left out where it is not installed. It may be in another environment:

pip install torch==2.13.0 lassonet                      there, or pip install -e ".[peers-torch]" here
python -m benchmarks.feature_selection --lassonet /path/to/its/bin/python

Each method puts the features in an order, by what is trained on. Judged is a new network, the same for all,
on the first 5, 10 and 20 of them: when it stops and how many are chosen is decided by the validation split,
and the test split is looked at once. Ours and LassoNet have a process of their own each time, in which
nothing is traced or compiled yet; times are of the processor, all threads together, from data in memory to
the order.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from rich.table import Table

from benchmarks import feature_peers
from benchmarks.feature_data import NAMES, Problem, load
from benchmarks.feature_network import loss_of, network
from benchmarks.results import Row, add_save, save
from benchmarks.timing import console

COUNTS = (5, 10, 20)
UNITS, STEPS, BLOCKS, BATCH, STARTS = 50, 1_000, 40, 64, 3


class Order(NamedTuple):
    order: list[int]
    cpu: float
    wall: float


def in_new_process(python: str, module: str, name: str, seed: int) -> Order:
    command = [python, "-m", module, name, str(seed)]
    root = Path(__file__).parent.parent
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=root, env=environment)
    return Order(**json.loads(done.stdout))


def here(method: Callable[[Problem, int], list[int]], problem: Problem, seed: int) -> Order:
    wall, cpu = time.perf_counter(), time.process_time()
    order = method(problem, seed)
    return Order(order, time.process_time() - cpu, time.perf_counter() - wall)


def orders(name: str, seed: int, problem: Problem, lassonet: str | None) -> dict[str, Order]:
    """What each method says, one after the other."""
    found = {"group log-sum, here": in_new_process(sys.executable, "benchmarks.feature_network", name, seed)}
    if lassonet is not None:
        found["LassoNet"] = in_new_process(lassonet, "benchmarks.feature_lassonet", name, seed)
    return found | {
        "L1 linear model": here(feature_peers.l1_linear, problem, seed),
        "mutual information": here(feature_peers.mutual_information, problem, seed),
        "random forest": here(feature_peers.random_forest, problem, seed),
    }


def score(outputs: Array, y: Array, classes: int) -> Array:
    """The share that is right, or R²."""
    if classes:
        return jnp.mean(jnp.argmax(outputs, -1) == y)
    return 1 - jnp.mean((outputs[:, 0] - y) ** 2) / jnp.var(y)


def fit_and_score(data: Any, mask: Array, key: Array, classes: int) -> Array:
    """Scores of a network on the columns of a mask: of validation, by which it stops, and the test."""
    train, validation, test = data
    keys = jax.random.split(key, 3)
    params = {
        "first": {
            "kernel": jax.random.normal(keys[0], (len(mask), UNITS)) / jnp.sqrt(jnp.sum(mask)),
            "bias": jnp.zeros(UNITS),
        },
        "out": {
            "kernel": jax.random.normal(keys[1], (UNITS, max(classes, 1))) / UNITS**0.5,
            "bias": jnp.zeros(max(classes, 1)),
        },
    }
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, STEPS))

    def loss(params: Any, split: Any) -> Array:
        return loss_of(network(params, split[0] * mask), split[1], classes)

    def step(carry: Any, rows: Array) -> tuple[Any, None]:
        params, state = carry
        gradient = jax.grad(loss)(params, (train[0][rows], train[1][rows]))
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    def block(carry: Any, rows: Array) -> tuple[Any, None]:
        trained, best, least = carry
        trained = jax.lax.scan(step, trained, rows)[0]
        value = loss(trained[0], validation)
        best = jax.tree.map(lambda new, old: jnp.where(value < least, new, old), trained[0], best)
        return (trained, best, jnp.minimum(value, least)), None

    rows = jax.random.randint(keys[2], (BLOCKS, STEPS // BLOCKS, BATCH), 0, len(train[1]))
    start = ((params, optimizer.init(params)), params, jnp.inf)
    best = jax.lax.scan(block, start, rows)[0][1]
    return jnp.stack([score(network(best, x * mask), y, classes) for x, y in (validation, test)])


@functools.partial(jax.jit, static_argnames="classes")
def all_scores(data: Any, masks: Array, keys: Array, classes: int) -> Array:
    """Scores of shape (orders, counts, starts, 2); each order has columns of its own, and the same labels."""
    starts = jax.vmap(functools.partial(fit_and_score, classes=classes), (None, None, 0))
    counts = jax.vmap(starts, (None, 0, None))
    return jax.vmap(counts, (((0, None), (0, None), (0, None)), None, None))(data, masks, keys)


def judged(problem: Problem, found: dict[str, Order]) -> np.ndarray:
    """Scores (orders, counts, 2), means over the starts of the network."""
    most = max(COUNTS)
    columns = [order.order[:most] for order in found.values()]
    data = tuple(
        (jnp.asarray(np.stack([split.x[:, c] for c in columns])), jnp.asarray(split.y))
        for split in problem[:3]
    )
    masks = jnp.asarray(np.arange(most) < np.array(COUNTS)[:, None], jnp.float32)
    keys = jax.random.split(jax.random.key(0), STARTS)
    return np.asarray(all_scores(data, masks, keys, problem.classes).mean(2))


def one(name: str, seeds: int, lassonet: str | None) -> list[Row]:
    """The table of one data set, means over the seeds."""
    numbers: dict[str, list[dict[str, float]]] = {}
    for seed in range(1, seeds + 1):
        problem = load(name, seed)
        found = orders(name, seed, problem, lassonet)
        for (method, order), scores in zip(found.items(), 100 * judged(problem, found), strict=True):
            chosen = int(np.argmax(scores[:, 0]))
            of = {f"test, {k}": float(scores[i, 1]) for i, k in enumerate(COUNTS)}
            of |= {"test, chosen": float(scores[chosen, 1]), "chosen": COUNTS[chosen]}
            if problem.real:
                real = problem.real & set(order.order[: len(problem.real)])
                of["real, %"] = 100 * len(real) / len(problem.real)
            numbers.setdefault(method, []).append(of | {"cpu, s": order.cpu, "wall, s": order.wall})
    kind = "accuracy" if problem.classes else "R²"
    table = Table(title=f"{name}: test {kind} in %, {seeds} seeds")
    table.add_column("order by")
    for column in (*map(str, COUNTS), "as many as chosen", "real ones found, %", "cpu s"):
        table.add_column(column, justify="right")
    rows = []
    for method, of_seeds in numbers.items():
        mean = {key: float(np.mean([of[key] for of in of_seeds])) for key in of_seeds[0]}
        error = float(np.std([of["test, chosen"] for of in of_seeds]))
        rows.append(Row(f"features: {name}", method, mean))
        found_ = f"{mean['real, %']:.0f}" if "real, %" in mean else ""
        table.add_row(
            method,
            *(f"{mean[f'test, {k}']:.1f}" for k in COUNTS),
            f"{mean['test, chosen']:.1f} ± {error:.1f} ({mean['chosen']:.0f})",
            found_,
            f"{mean['cpu, s']:.1f}",
        )
    console.print(table)
    return rows


def _has_lassonet(python: str) -> bool:
    return not subprocess.run([python, "-c", "import lassonet"], capture_output=True).returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", nargs="*", help=f"which: {'; '.join(NAMES)}; all if none is named")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lassonet", default=sys.executable, metavar="PYTHON", help="that has LassoNet")
    parser.add_argument("--quick", action="store_true", help="one of the data sets, one seed")
    add_save(parser)
    asked = parser.parse_args()
    if unknown := set(asked.data) - set(NAMES):
        parser.error(f"unknown data {sorted(unknown)}: choose from {'; '.join(NAMES)}")
    lassonet = asked.lassonet if _has_lassonet(asked.lassonet) else None
    if lassonet is None:
        console.print(f"{asked.lassonet} has no lassonet: it is left out")
    names, seeds = (NAMES[:1], 1) if asked.quick else (asked.data or NAMES, asked.seeds)
    save(asked.save, [row for name in names for row in one(name, seeds, lassonet)])
