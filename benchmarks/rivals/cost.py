"""What a step costs: seconds, and the state in arrays of the size of the weights."""

import functools
import math
from typing import Any

import jax
import optax
from rich.table import Table

from benchmarks.results import Row
from benchmarks.rivals.methods import METHODS
from benchmarks.rivals.networks import TARGETED
from benchmarks.rivals.pruning import EVERY
from benchmarks.rivals.regularizers import Lasso
from benchmarks.timing import console, medians

STEPS = 1_000


def optimizers() -> dict[str, optax.GradientTransformation]:
    """Each method, as it trains a network."""
    made = {
        name: method.make(Lasso(1e-4), method.network_rates[0], method.network_other, STEPS)
        for name, method in METHODS.items()
    }
    targeted = {name: make(optax.adam(1e-3), 0.9, STEPS) for name, make in TARGETED.items()}
    return {"adam": optax.adam(1e-3)} | targeted | made


def held(state: Any, params: Any) -> float:
    """How many bytes the state has for each byte of the weights."""

    def size(tree: Any) -> int:
        return sum(
            math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree) if hasattr(x, "dtype")
        )

    return size(state) / size(params)


def cost(size: int, repeats: int) -> list[Row]:
    """Updates alone, on one kernel of size × size, medians; all take turns.

    As many steps as pruning and `to_sparsity` have between two looks at all sizes.
    """
    title = f"cost of a step, {size * size:,} weights"
    params = {"kernel": jax.random.normal(jax.random.key(0), (size, size)) / size**0.5}
    grads = {"kernel": 1e-3 * jax.random.normal(jax.random.key(1), (size, size))}
    steps, memory = {}, {}
    for name, optimizer in optimizers().items():
        state = optimizer.init(params)
        memory[name] = held(state, params)

        def step(carry: Any, _: Any, optimizer: Any = optimizer) -> Any:
            state, params = carry
            updates, state = optimizer.update(grads, state, params)
            return (state, optax.apply_updates(params, updates)), None

        many = jax.jit(functools.partial(jax.lax.scan, step, length=EVERY))
        steps[name] = functools.partial(many, (state, params), None)
    times = {name: seconds / EVERY for name, seconds in medians(steps, repeats).items()}
    table = Table(title=title)
    for column in ("method", "ms", "to adam's", "state, arrays"):
        table.add_column(column, justify="left" if column == "method" else "right")
    rows = []
    for name, seconds in times.items():
        numbers = {"s": seconds, "to adam's": seconds / times["adam"], "state": memory[name]}
        rows.append(Row(title, name, numbers))
        table.add_row(name, f"{1e3 * seconds:.2f}", f"{seconds / times['adam']:.2f}", f"{memory[name]:.2f}")
    console.print(table)
    return rows
