"""How long tracing an update takes, against tracing the optimizer's own. Each in a new process."""

import statistics
import time

from benchmarks.new_process import answer, seconds_in_new_process
from benchmarks.results import Row

SHAPES = [(32, 48), (48,), (16, 8), (64,)]
GOAL = 1.5


def measured(what: str, leaves: int) -> float:
    """Seconds to trace one update, in this process, in which a small one was traced before.

    Of the processor and not of the clock: tracing is Python in one thread.
    """
    import jax
    import jax.numpy as jnp
    import optax

    from penalties import L1, GroupLasso, penalized

    optimizer = {
        "adam": optax.adam(1e-3),
        "penalized(adam, L1)": penalized(optax.adam(1e-3), L1(1e-3)),
        "penalized(adam, GroupLasso)": penalized(optax.adam(1e-3), GroupLasso(1e-3)),
    }[what]

    def traced(params) -> float:
        state = optimizer.init(params)
        start = time.process_time()
        jax.jit(optimizer.update).trace(params, state, params)
        return time.process_time() - start

    # What any first use costs, whatever the size, is not asked for here: other shapes, so that nothing is
    # traced already.
    traced({"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)})
    return traced({f"leaf_{i}": jnp.ones(SHAPES[i % len(SHAPES)]) for i in range(leaves)})


def tracing(sizes: list[int], repeats: int) -> list[Row]:
    """`penalized` around adam against adam alone, at each number of leaves."""
    from rich.progress import track

    from benchmarks.timing import Ratio, console, show

    rivals = ["adam", "penalized(adam, L1)", "penalized(adam, GroupLasso)"]
    jobs = [(what, leaves) for _ in range(repeats) for leaves in sizes for what in rivals]
    times: dict[tuple[str, int], list[float]] = {job: [] for job in jobs}
    for job in track(jobs, "tracing", console=console):
        times[job].append(seconds_in_new_process("benchmarks.tracing", *job))
    middle = {job: statistics.median(t) for job, t in times.items()}
    ratios = [
        Ratio(
            f"{what}, {leaves} leaves",
            "adam's update",
            middle[what, leaves],
            middle["adam", leaves],
            GOAL if leaves == 1000 else None,
        )
        for leaves in sizes
        for what in rivals[1:]
    ]
    return show("tracing", ratios)


if __name__ == "__main__":
    answer(measured)
