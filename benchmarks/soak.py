"""Training for very long: memory, compilations, zeros, strengths that change, and checkpoints under kills.

python -m benchmarks.soak            100,000 steps, 1,000 strengths, 200 kills: some minutes on two cores
python -m benchmarks.soak --quick    a few of each, to see that it runs
python -m benchmarks.soak --save FILE
"""

import argparse
import contextlib
import resource
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.progress import track
from rich.table import Table

from benchmarks.crashes import crashes
from benchmarks.results import Row, add_save, save
from benchmarks.small_run import penalty, start, step
from benchmarks.timing import console

COMPILES = "/jax/core/compile/backend_compile_duration"


@contextlib.contextmanager
def counted_compilations() -> Iterator[list[str]]:
    """A list that grows by one with each program that XLA compiles."""
    compiled: list[str] = []

    def listen(event: str, seconds: float, **about: Any) -> None:
        if event == COMPILES:
            compiled.append(str(about.get("fun_name", "")))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@jax.jit
def watched_step(params: Any, state: Any, seen: tuple[jax.Array, jax.Array]) -> tuple[Any, Any, Any]:
    """A step, and how many zeros it ended and how many numbers of params or state were not finite."""
    new, state = step(params, state)
    pairs = zip(jax.tree.leaves(params), jax.tree.leaves(new), strict=True)
    ended = sum(jnp.sum((before == 0) & (after != 0)) for before, after in pairs)
    broken = sum(jnp.sum(~jnp.isfinite(leaf)) for leaf in jax.tree.leaves((new, state)))
    return new, state, (seen[0] + ended, seen[1] + broken)


def nothing_seen() -> tuple[jax.Array, jax.Array]:
    return jax.device_put((jnp.zeros((), int), jnp.zeros((), int)), jax.devices()[0])


def many_steps(steps: int) -> dict[str, float]:
    """One jitted step after another; memory and compilations are counted after the first tenth of them."""
    params, state = start()
    seen = nothing_seen()
    with counted_compilations() as compiled:
        for at in track(range(steps), "steps", console=console):
            if at == steps // 10:
                compiled.clear()
                peak = peak_memory()
            if at == steps // 2:
                ended_before = int(seen[0])
            params, state, seen = watched_step(params, state, seen)
        ended, broken = map(int, jax.block_until_ready(seen))
        compilations = len(compiled)
    kernel = params["hidden"]["kernel"]
    return {
        "steps": int(state.penalty_step),
        "peak memory after a tenth, MiB": peak,
        "peak memory at the end, MiB": peak_memory(),
        "compilations after a tenth": compilations,
        "zeros that ended in the first half": ended_before,
        "zeros that ended in the second half": ended - ended_before,
        "features out of 16 that are zero": int(jnp.sum(jnp.all(kernel == 0, axis=1))),
        "numbers that were not finite": broken,
    }


def peak_memory() -> float:
    """The largest resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def many_strengths(changes: int) -> dict[str, float]:
    """Another strength before each step, set in the state."""
    params, state, seen = watched_step(*start(), nothing_seen())
    wrong = 0
    with counted_compilations() as compiled:
        for at in track(range(changes), "strengths", console=console):
            strength = 0.05 * (1 + at) / changes
            # To where the old one is: a number from elsewhere is another kind of argument, once.
            state = optax.tree.set(state, penalty=jax.device_put(penalty(strength), jax.devices()[0]))
            params, state, seen = watched_step(params, state, seen)
            wrong += any(np.asarray(now) != np.float32(strength) for now in jax.tree.leaves(state.penalty))
    return {"changes": changes, "compilations": len(compiled), "strengths that did not hold": wrong}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few of each")
    add_save(parser)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parts = {
            "one step after another": many_steps(2000 if asked.quick else 100_000),
            "strengths changed between steps": many_strengths(20 if asked.quick else 1000),
            "checkpoints under SIGKILL": {
                name.replace("_", " "): number
                for name, number in asdict(crashes(3 if asked.quick else 200, Path(folder))).items()
            },
        }
    table = Table(title="soak")
    for column in ("part", "what", "number"):
        table.add_column(column, justify="right" if column == "number" else "left")
    for part, numbers in parts.items():
        for what, number in numbers.items():
            table.add_row(part, what, f"{number:,.6g}")
            part = ""
        table.add_section()
    console.print(table)
    save(asked.save, [Row("soak", part, numbers) for part, numbers in parts.items()])


if __name__ == "__main__":
    main()
