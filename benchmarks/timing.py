"""Fair ratios: the rivals take turns, so that whatever else the machine does slows all of them."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
from rich.console import Console
from rich.table import Table

from benchmarks.results import Row

console = Console()


@dataclass
class Ratio:
    """One comparison: our median, the peer's, and the ratio that is aimed at."""

    what: str
    peer: str
    ours: float
    theirs: float
    goal: float | None = None

    @property
    def value(self) -> float:
        return self.ours / self.theirs


def seconds(function: Callable[[], Any]) -> float:
    """How long one call takes until its results are there."""
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def medians(rivals: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """The median time of each, after two calls that are not counted."""
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for repeat in range(repeats + 2):
        names = list(rivals) if repeat % 2 else list(reversed(rivals))
        for name in names:
            elapsed = seconds(rivals[name])
            if repeat >= 2:
                times[name].append(elapsed)
    return {name: statistics.median(t) for name, t in times.items()}


def show(title: str, ratios: list[Ratio], unit: str = "ms") -> list[Row]:
    """Prints a table of the ratios, green where the goal is met, and returns its rows to be saved."""
    factor = {"ms": 1e3, "s": 1.0}[unit]
    table = Table(title=title)
    for column in ("what", f"ours, {unit}", "peer", f"peer, {unit}", "ratio", "goal"):
        table.add_column(column, justify="left" if column in ("what", "peer") else "right")
    for r in ratios:
        met = r.goal is None or r.value <= r.goal
        shown = f"{r.value:.2f}" if r.goal is None else f"[{'green' if met else 'red'}]{r.value:.2f}[/]"
        goal = "" if r.goal is None else f"≤ {r.goal:.3g}"
        table.add_row(r.what, f"{factor * r.ours:.2f}", r.peer, f"{factor * r.theirs:.2f}", shown, goal)
    console.print(table)
    return [
        Row(title, f"{r.what} against {r.peer}", {"ours, s": r.ours, "peer, s": r.theirs, "ratio": r.value})
        for r in ratios
    ]
