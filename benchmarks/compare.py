"""What changed between two runs.

python -m benchmarks.compare before.json after.json

The files are those that `--save` of a benchmark writes. Where ours took turns with a peer, the ratio is
what to look at: times also change with whatever else the machine does.
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.results import Row, load

MARKED = 0.1  # changes of this share and more


def changes(before: list[Row], after: list[Row]) -> Table:
    """A table of every number that both have, and of the rows that only one has."""
    table = Table(title="after / before")
    for column in ("what", "number", "before", "after", "change"):
        table.add_column(column, justify="left" if column in ("what", "number") else "right")
    new = {(row.table, row.what): row.numbers for row in after}
    title = None
    for row in before:
        if row.table != title:
            table.add_section()
            title = row.table
            table.add_row(f"[bold]{escape(title)}[/]")
        numbers = new.pop((row.table, row.what), None)
        if numbers is None:
            table.add_row(escape(row.what), "", "", "[yellow]not measured[/]")
            continue
        shown = escape(row.what)
        for name, was in row.numbers.items():
            if name in numbers:
                now = numbers[name]
                table.add_row(shown, name, f"{was:.4g}", f"{now:.4g}", _factor(was, now))
                shown = ""
    for of, what in new:
        table.add_row(escape(f"{of}: {what}"), "", "[yellow]not measured[/]")
    return table


def _factor(was: float, now: float) -> str:
    if was == now:
        return "1.00"
    if was == 0:
        return "[bold]from 0[/]"
    factor = now / was
    return f"[bold]{factor:.2f}[/]" if abs(factor - 1) >= MARKED else f"{factor:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    asked = parser.parse_args()
    try:
        (on_before, before), (on_after, after) = load(asked.before), load(asked.after)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    console = Console()
    for name in on_before | on_after:
        was, now = on_before.get(name), on_after.get(name)
        console.print(f"{name}: {was}" if was == now else f"[bold]{name}: {was} → {now}[/]", highlight=False)
    console.print(changes(before, after))


if __name__ == "__main__":
    main()
