"""All suites, one after the other, each in a process of its own: tables, JSON, and a picture of the ratios.

python -m benchmarks.everything FOLDER            all, for hours
python -m benchmarks.everything FOLDER --quick    small sizes, to see that they run
python -m benchmarks.everything FOLDER choosing proxes    some

The folder gets, of each suite, what it printed (`choosing.txt`), its numbers (`choosing.json`, which
`python -m benchmarks.compare` reads), and of all `ratios.png`: ours over the peer's. A suite that fails is
told in the end, and the others run all the same.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.results import Row, load

mpl.use("Agg")

# Of each suite its module, and what makes it small.
SUITES: dict[str, tuple[str, Sequence[str]]] = {
    "core": ("benchmarks", ["--quick"]),
    "choosing": ("benchmarks.choosing", ["--quick"]),
    "proxes": ("benchmarks.proxes", ["--quick"]),
    "shrinking": ("benchmarks.shrinking", ["--quick"]),
    "smaller": ("benchmarks.smaller", ["--quick"]),
    "keras_fit": ("benchmarks.keras_fit", ["--repeats", "2", "--batches", "5"]),
    "accelerator": ("benchmarks.accelerator", ["--quick"]),
    "rivals": ("benchmarks.rivals", ["--quick"]),
    "rivals_groups": ("benchmarks.rivals_groups", ["--quick"]),
    "feature_selection": ("benchmarks.feature_selection", ["--quick"]),
    "soak": ("benchmarks.soak", ["--quick"]),
    "paper_plan": ("benchmarks.paper_plan", []),
}


def run(name: str, folder: Path, quick: bool) -> bool:
    """Whether the suite came to its end; what it printed and measured is in the folder."""
    module, small = SUITES[name]
    command = [
        sys.executable,
        "-m",
        module,
        *(small if quick else ()),
        "--save",
        str(folder / f"{name}.json"),
    ]
    environment = os.environ | {"KERAS_BACKEND": "jax", "COLUMNS": "120"}
    with (folder / f"{name}.txt").open("w") as told:
        return subprocess.run(command, stdout=told, stderr=subprocess.STDOUT, env=environment).returncode == 0


def draw(ratios: Sequence[tuple[str, Row]], path: Path) -> None:
    """A bar for each row that has a ratio to a peer, with the peer at 1."""
    figure = Figure(figsize=(11, 1 + 0.22 * len(ratios)), layout="constrained")
    ax = figure.subplots()
    values = [row.numbers["ratio"] for _, row in ratios]
    ax.barh(range(len(ratios)), values, color=["tab:green" if x <= 1 else "tab:blue" for x in values])
    ax.axvline(1, color="black", linewidth=1)
    ax.set_yticks(range(len(ratios)), [f"{name}: {row.what}" for name, row in ratios], fontsize=7)
    ax.set_xscale("log")
    ax.invert_yaxis()
    ax.set_xlabel("ours over the peer's: less is better")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("suites", nargs="*", help=f"which: {', '.join(SUITES)}; all if none is named")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    asked = parser.parse_args()
    if unknown := set(asked.suites) - set(SUITES):
        parser.error(f"unknown suites {sorted(unknown)}: choose from {', '.join(SUITES)}")
    asked.folder.mkdir(parents=True, exist_ok=True)
    console, failed, ratios = Console(), list[str](), list[tuple[str, Row]]()
    columns = TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(asked.suites or SUITES))
        for name in asked.suites or SUITES:
            progress.update(task, description=name)
            if run(name, asked.folder, asked.quick):
                _, rows = load(asked.folder / f"{name}.json")
                ratios += [(name, row) for row in rows if row.numbers.get("ratio", 0) > 0]
                console.print((asked.folder / f"{name}.txt").read_text(), markup=False, highlight=False)
            else:
                failed.append(name)
            progress.advance(task)
    if ratios:
        draw(ratios, asked.folder / "ratios.png")
    for name in failed:
        console.print(f"[red]{name} failed: {asked.folder / f'{name}.txt'} says why[/]")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
