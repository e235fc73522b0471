"""The order of the features by ours: a group log-sum on the rows of a network's first layer, and a warm path.

Run in a new process, so that what is measured holds all tracing and compiling:

python -m benchmarks.feature_network NAME SEED
"""

import json
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from benchmarks.feature_data import Problem, load
from penalties import L2, Grouped, LogSum, Penalty, fit_path, penalized, rank_features

UNITS, BATCH, STEPS, POINTS = 50, 128, 200, 30
SLOPES = 1e-4, 0.5


def network(params: Any, x: Array) -> Array:
    hidden = jax.nn.relu(x @ params["first"]["kernel"] + params["first"]["bias"])
    return hidden @ params["out"]["kernel"] + params["out"]["bias"]


def loss_of(outputs: Array, y: Array, classes: int) -> Array:
    if classes:
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(outputs, y))
    return jnp.mean((outputs[:, 0] - y) ** 2)


def order(problem: Problem, seed: int) -> list[int]:
    """The features, the one that matters most first."""
    x, y = (jnp.asarray(array) for array in problem.train)
    features, outputs, rng = x.shape[1], max(problem.classes, 1), np.random.default_rng(seed)
    # Drawn by NumPy, for random numbers of JAX compile longer than these networks train.
    first = rng.normal(size=(features, UNITS)) / features**0.5
    out = rng.normal(size=(UNITS, outputs)) / UNITS**0.5
    params = {
        "first": {"kernel": jnp.asarray(first, jnp.float32), "bias": jnp.zeros(UNITS)},
        "out": {"kernel": jnp.asarray(out, jnp.float32), "bias": jnp.zeros(outputs)},
    }
    batches = jnp.asarray(rng.integers(0, len(x), (STEPS, BATCH)))

    def loss(params: Any, rows: Array) -> Array:
        return loss_of(network(params, x[rows]), y[rows], problem.classes)

    def train(penalty: Penalty, params: Any) -> Any:
        # The next layer must not make up for a first one that shrinks.
        optimizer = penalized(optax.adam(3e-3), penalty + L2(1e-2).on("out/kernel"))

        def step(carry: Any, rows: Array) -> tuple[Any, None]:
            params, state = carry
            updates, state = optimizer.update(jax.grad(loss)(params, rows), state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), batches)[0][0]

    # ε is a third of the size that a feature begins with. Where data are standardized, so that gradients are
    # alike, slopes at zero need no `strength_max` to begin from.
    epsilon = 0.3 / features**0.5
    penalty = Grouped(LogSum(epsilon, epsilon=epsilon), axis=0).on("first/kernel")
    factors = np.geomspace(*SLOPES, POINTS)
    path = fit_path(train, penalty, factors, params, progress=False)
    return rank_features(path, "first/kernel").order.tolist()


if __name__ == "__main__":
    problem, seed = load(sys.argv[1], int(sys.argv[2])), int(sys.argv[2])
    jax.block_until_ready(jnp.zeros(1))  # the start of the backend
    wall, cpu = time.perf_counter(), time.process_time()
    found = order(problem, seed)
    times = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    print(json.dumps({"order": found} | times))
