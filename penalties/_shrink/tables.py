"""Tables as text and in notebooks. Plain characters: they may be printed to any file."""

import html
import io
import shutil
from collections.abc import Sequence

from rich.box import Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_RULES = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)


class Tabular:
    """Prints as a table: a subclass says its columns and rows. Columns with a ":" in front hold numbers."""

    def _columns(self) -> Sequence[str]:
        raise NotImplementedError

    def _rows(self) -> Sequence[Sequence[str]]:
        raise NotImplementedError

    def __repr__(self) -> str:
        # Below 80 columns the numbers would be folded, too.
        width = max(80, shutil.get_terminal_size(fallback=(120, 24)).columns)
        console = Console(file=io.StringIO(), width=width, color_system=None, force_jupyter=False)
        with console.capture() as captured:
            console.print(self.__rich__())
        return "\n".join(line.rstrip() for line in captured.get().rstrip().splitlines())

    def __rich__(self) -> Table:
        # Folded and never cut: a path is of no use without its end. As Text, for "[3]" is no markup.
        table = Table(box=_RULES, show_edge=False, pad_edge=False, collapse_padding=True)
        for name in self._columns():
            table.add_column(
                name.lstrip(":"), justify="right" if name.startswith(":") else "left", overflow="fold"
            )
        for row in self._rows():
            table.add_row(*map(Text, row))
        return table

    def _repr_html_(self) -> str:
        columns = self._columns()
        head = _html_row([name.lstrip(":") for name in columns], columns, "th")
        body = "".join(_html_row(row, columns, "td") for row in self._rows())
        return f'<table style="border-collapse: collapse"><thead>{head}</thead><tbody>{body}</tbody></table>'


def _html_row(cells: Sequence[str], columns: Sequence[str], tag: str) -> str:
    sides = ("right" if name.startswith(":") else "left" for name in columns)
    drawn = "".join(
        f'<{tag} style="text-align: {side}; padding: 2px 8px">{html.escape(cell)}</{tag}>'
        for side, cell in zip(sides, cells, strict=True)
    )
    return f"<tr>{drawn}</tr>"
