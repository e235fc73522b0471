"""Values, gradients, proxes and steps against what memory allows, on whatever device JAX finds.

python -m benchmarks.accelerator            two minutes at most
python -m benchmarks.accelerator --quick    small sizes, to see that it runs
python -m benchmarks.accelerator --save FILE

All of them are bound by memory, so the least time of each is the bytes of its arguments and results over
the bandwidth of a copy, which is measured first. JAX_PLATFORMS, where it is set, must leave "cpu" in: before
anything is timed, it is compared with float64 on the host.
"""

import argparse
import functools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.progress import track
from rich.table import Table

from benchmarks.results import Row, add_save, save
from benchmarks.timing import console, medians
from penalties import L1, L2, ElasticNet, GroupLasso, penalized

WIDTH = 1024
PENALTIES = {
    "L1": L1(1e-3),
    "L2": L2(1e-3),
    "ElasticNet": ElasticNet(1e-3, 1e-3),
    "GroupLasso": GroupLasso(1e-3),
}
ADAM, COPY = "adam", "a copy in place"
OPTIMIZERS = {
    ADAM: optax.adam(1e-3),
    "penalized, L1": penalized(optax.adam(1e-3), PENALTIES["L1"]),
    "penalized, L1, bfloat16 average": penalized(
        optax.adam(1e-3), PENALTIES["L1"], accumulator_dtype=jnp.bfloat16
    ),
    "penalized, GroupLasso": penalized(optax.adam(1e-3), PENALTIES["GroupLasso"]),
}
# Of the largest weight: several steps, or a sum over all weights, may be off by some roundings.
TOLERANCE = {"float32": 1e-5, "bfloat16": 3e-2}


@dataclass
class Timed:
    """A function to time: calls must not change what it does, except by handing on what it returns."""

    what: str
    call: Callable[[], Any]
    bytes: int


def arrays(weights: int, dtype: str) -> tuple[jax.Array, jax.Array]:
    """Weights, many of them zero as in training, and gradients."""
    shape = (weights // WIDTH, WIDTH)
    w = jax.random.normal(jax.random.key(0), shape, dtype)
    w = jnp.where(jnp.abs(w) < 0.5, jnp.zeros((), dtype), w)
    return w, jax.random.normal(jax.random.key(1), shape, dtype)


def of_penalty(penalty: Any) -> dict[str, Callable[[Any], Any]]:
    return {
        "value": lambda w: penalty(w),
        "gradient": jax.grad(penalty),
        "prox": lambda w: penalty.prox(w, 1.0),
    }


def step_of(optimizer: optax.GradientTransformation) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    def step(params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    return step


def check(dtype: str) -> None:
    """Compares everything with the same in float64 on the host.

    Raises:
        AssertionError: a number is further off than the dtype's tolerance.
    """
    on_device = arrays(64 * WIDTH, dtype)
    host = jax.devices("cpu")[0]
    w, g = (np.asarray(x.astype(jnp.float32)).astype(np.float64) for x in on_device)

    def compare(what: str, function: Callable[..., Any], in_float64: Callable[..., Any]) -> None:
        found = jax.jit(function)(*on_device)
        with jax.enable_x64(True), jax.default_device(host):
            expected = np.asarray(jax.jit(in_float64)(w, g))
        assert expected.dtype == np.float64, what
        found = np.asarray(found.astype(jnp.float32))
        scale = float(np.max(np.abs(expected)))
        np.testing.assert_allclose(
            found, expected, rtol=0, atol=TOLERANCE[dtype] * scale, err_msg=f"{what} in {dtype}"
        )

    def three_steps(optimizer: Any) -> Callable[..., Any]:
        def run(w: Any, g: Any) -> Any:
            state = optimizer.init(w)
            for _ in range(3):
                w, state = step_of(optimizer)(w, state, g)
            return w

        return run

    for name, penalty in PENALTIES.items():
        for what, function in of_penalty(penalty).items():
            alone = lambda w, g, function=function: function(w)  # noqa: E731
            compare(f"{what} of {name}", alone, alone)
    for name, optimizer in OPTIMIZERS.items():
        compare(f"steps of {name}", three_steps(optimizer), three_steps(optimizer))


def nbytes(*trees: Any) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(trees))


def in_turn(function: Callable[..., Any], calls: int) -> Callable[[], Any]:
    """Several calls one after the other, so that the device waits for none; the last result."""

    def run() -> Any:
        for _ in range(calls):
            result = function()
        return result

    return run


def handing_on(step: Callable[..., Any], carry: Any, *inputs: Any) -> Callable[[], Any]:
    """A step that gets what it returned, and returns the next in the same memory."""
    compiled = jax.jit(step, donate_argnums=tuple(range(len(carry))), keep_unused=True)
    carry = jax.tree.map(jnp.copy, carry)

    def once() -> Any:
        nonlocal carry
        carry = compiled(*carry, *inputs)
        return carry

    return once


def timed_functions(weights: int, dtype: str) -> list[Timed]:
    w, g = arrays(weights, dtype)
    functions = [Timed(COPY, handing_on(lambda x: (x + 1,), (w,)), 2 * nbytes(w))]
    for name, penalty in PENALTIES.items():
        for what, function in of_penalty(penalty).items():
            if what == "value":
                call, moved = functools.partial(jax.jit(function), w), nbytes(w)
            else:  # into memory that is there already, as it is within a training step
                call = handing_on(lambda out, w, function=function: (function(w),), (w,), w)
                moved = 2 * nbytes(w)
            functions.append(Timed(f"{name}: {what}", call, moved))
    for name, optimizer in OPTIMIZERS.items():
        carry = w, optimizer.init(w)
        call = handing_on(step_of(optimizer), carry, g)
        functions.append(Timed(name, call, nbytes(carry, carry, g)))
    return functions


def roofline(weights: int, repeats: int) -> list[Row]:
    """The table of times, and of what share of a copy's bandwidth they have; all of a dtype take turns."""
    calls = 1 if jax.default_backend() == "cpu" else 10  # CPUs run several at once
    table = Table(title=f"{weights:,} weights: bytes that have to be moved, over those that a copy moves")
    for column in ("dtype", "what", "ms", "bytes a weight", "of a copy's", "to adam's"):
        table.add_column(column, justify="left" if column in ("dtype", "what") else "right")
    rows = []
    for dtype in TOLERANCE:
        functions = timed_functions(weights, dtype)
        with console.status(f"timing {dtype}"):
            times = medians({timed.what: in_turn(timed.call, calls) for timed in functions}, repeats)
        copied = functions[0].bytes / times[COPY]
        for timed in functions:
            seconds = times[timed.what]
            numbers = {"s": seconds / calls, "bytes": timed.bytes, "share": timed.bytes / seconds / copied}
            if timed.what in OPTIMIZERS:
                numbers["to adam's"] = seconds / times[ADAM]
            rows.append(Row("roofline", f"{timed.what}, {dtype}", numbers))
            table.add_row(
                dtype,
                timed.what,
                f"{1e3 * seconds / calls:.3f}",
                f"{timed.bytes / weights:.0f}",
                f"{100 * numbers['share']:.0f} %",
                f"{numbers[to]:.2f}" if (to := "to adam's") in numbers else "",
            )
        table.add_section()
        console.print(f"a copy in {dtype}: {copied * calls / 1e9:,.1f} GB/s")
    console.print(table)
    return rows


def memory() -> int:
    """Bytes of memory: the device's where it says so, else the machine's."""
    stats = jax.devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def compiled_sizes(leaves: int) -> list[Row]:
    """Seconds to compile a step on many leaves, and from its memory the largest model that fits."""
    table = Table(
        title=f"a step on {leaves} leaves; what fits in {memory() / 2**30:,.0f} GiB without activations"
    )
    for column in ("dtype", "what", "trace and compile, s", "bytes a weight", "weights that fit"):
        table.add_column(column, justify="left" if column in ("dtype", "what") else "right")
    rows = []
    for dtype in TOLERANCE:
        params = {f"kernel_{i}": jax.ShapeDtypeStruct((WIDTH, WIDTH), dtype) for i in range(leaves)}
        for name, optimizer in OPTIMIZERS.items():
            state = jax.eval_shape(optimizer.init, params)
            begin = time.perf_counter()
            step = jax.jit(step_of(optimizer), donate_argnums=(0, 1)).lower(params, state, params).compile()
            seconds = time.perf_counter() - begin
            used = step.memory_analysis()
            each = (
                used.argument_size_in_bytes
                + used.output_size_in_bytes
                - used.alias_size_in_bytes
                + used.temp_size_in_bytes
            ) / (leaves * WIDTH * WIDTH)
            numbers = {"compile, s": seconds, "bytes a weight": each, "weights that fit": memory() / each}
            rows.append(Row("compiled", f"{name}, {dtype}", numbers))
            table.add_row(dtype, name, f"{seconds:.2f}", f"{each:.2f}", f"{memory() / each / 1e9:.2f}e9")
        table.add_section()
    console.print(table)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    add_save(parser)
    asked = parser.parse_args()
    weights = 2**24 if jax.default_backend() == "cpu" else 2**26
    for dtype in track(TOLERANCE, "comparing with float64 on the host", console=console):
        check(dtype)
    rows = roofline(*((2**16, 1) if asked.quick else (weights, 11)))
    rows += compiled_sizes(2 if asked.quick else 48)
    save(asked.save, rows)


if __name__ == "__main__":
    main()
