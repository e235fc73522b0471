"""Smaller networks: `to_sparsity` and `shrink` beside Torch-Pruning and Only-Train-Once.

python -m benchmarks.smaller --torch PYTHON           all of it, about half an hour on two cores
python -m benchmarks.smaller --torch PYTHON CNN       one part: MLP, CNN, outputs
python -m benchmarks.smaller --torch PYTHON --quick   few steps and trials, to see that it runs

Torch is in another environment, or left out:

pip install torch==2.13.0 torch-pruning only_train_once packaging scikit-learn numpy

MLP and CNN: the same network, first weights, batches and splits of digits, as many steps and trials for
each. Shown are means over five seeds on the test split: right after the cut, and when trained on; the largest
change of the outputs by the cut, to the largest output; the time of a forward pass before and after. Each
framework is as it is used, torch eager on one thread, JAX compiled on all: times of one are nothing to
measure the other by.

outputs: small networks in which every second unit is zero. What is cut, and do the outputs change?
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.results import Row, add_save, save
from benchmarks.smaller import here
from benchmarks.smaller.outputs import outputs
from benchmarks.smaller.task import FULL, IN_TORCH, QUICK, SHAPES, problem, tuned_and_tested
from benchmarks.timing import console

PARTS = (*SHAPES, "outputs")


def in_torch(python: str, module: str, *arguments: str) -> Any:
    """What the module prints, in a process of the other Python."""
    root = Path(__file__).parent.parent.parent
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [python, "-m", f"benchmarks.smaller.{module}", *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=root, env=environment)
    return json.loads(done.stdout)


def has(python: str, package: str) -> bool:
    """Whether this Python finds the package; to import it may need more."""
    find = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    return not subprocess.run([python, "-c", find]).returncode


def found_in(python: str) -> list[str]:
    """The methods that this Python has."""
    torch, *of = (has(python, package) for package in ("torch", "torch_pruning", "only_train_once"))
    needs = dict(zip(IN_TORCH, (True, of[0], of[0], of[1]), strict=True))
    return [name for name, there in needs.items() if torch and there]


def network(name: str, methods: list[str], python: str, quick: bool) -> list[Row]:
    """The table of one network."""
    size, found = QUICK if quick else FULL[name], dict[str, dict[str, dict[str, float]]]()
    for method in (*here.SIDES, *methods):
        if method in here.SIDES:
            found[method] = tuned_and_tested(here.SIDES[method], problem(name), size)
        else:
            found[method] = in_torch(python, "in_torch", method, name, *(["--quick"] if quick else []))
        console.print(f"{name}: {method} is done", highlight=False)
    title = f"digits, {name}: {size.sparse} steps, a cut, {size.fine} steps, {len(size.tested)} seeds"
    table = Table(title=title)
    columns = (
        "removed",
        "method",
        "test, %",
        "just cut",
        "outputs changed",
        "units",
        "parameters",
        "dense, ms",
    )
    for column in (*columns, "small, ms", "training, s"):
        table.add_column(column, justify="left" if column == "method" else "right")
    rows = []
    for target in sorted({target for of in found.values() for target in of}):
        for method, of in found.items():
            if (at := of.get(target)) is None:
                continue
            rows.append(Row(title, f"{method}, {float(target):.0%} removed", at))
            table.add_row(
                f"{float(target):.0%}",
                method,
                f"{at['test, %']:.1f} ± {at['deviation']:.1f}",
                f"{at['just cut, %']:.1f}",
                f"{at['difference']:.0e}",
                f"{at['units']:.0f}",
                f"{at['parameters']:,.0f}",
                *(f"{at[key]:.2f}" for key in ("dense, ms", "small, ms")),
                f"{at['training, s']:.1f}",
            )
        table.add_section()
    console.print(table)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"which: {', '.join(PARTS)}; all if none is named")
    parser.add_argument(
        "--torch", default=sys.executable, metavar="PYTHON", help="that has torch and the rest"
    )
    parser.add_argument("--quick", action="store_true", help="few steps and trials")
    add_save(parser)
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"unknown parts {sorted(unknown)}: choose from {', '.join(PARTS)}")
    methods = found_in(asked.torch)
    if missing := [name for name in IN_TORCH if name not in methods]:
        console.print(f"{asked.torch} lacks what these need, they are left out: {'; '.join(missing)}")
    rows = list[Row]()
    for part in asked.parts or PARTS:
        if part == "outputs":
            theirs = in_torch(asked.torch, "outputs_in_torch") if has(asked.torch, "torch_pruning") else {}
            rows += outputs(theirs)
        else:
            rows += network(part, methods, asked.torch, asked.quick)
    save(asked.save, rows)


if __name__ == "__main__":
    main()
