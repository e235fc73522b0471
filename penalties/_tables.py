"""Tables as text, in rich's consoles and in notebooks. Plain characters: they may be printed to any file."""

import abc
import html
import io
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

_RULES = "    \n    \n -- \n    \n    \n -- \n    \n    \n"  # a line below the head, and above the foot


class Tabular(abc.ABC):
    """Prints as a table: a subclass says its columns and rows. Columns with a ":" in front hold numbers."""

    @abc.abstractmethod
    def _table_columns(self) -> Sequence[str]:
        """The names of the columns."""

    @abc.abstractmethod
    def _table_rows(self) -> Iterator[Sequence[str]]:
        """The cells of each row."""

    def _table_foot(self) -> Sequence[str]:
        """The cells below the last line, if there are any."""
        return ()

    def _is_faint(self, row: Sequence[str]) -> bool:
        """Whether a row is of less interest."""
        del row
        return False

    def __repr__(self) -> str:
        from rich.console import Console  # rich costs more than all else that is imported here

        console = Console(file=io.StringIO(), width=_width(), color_system=None, force_jupyter=False)
        with console.capture() as captured:
            console.print(self.__rich__())
        return "\n".join(line.rstrip() for line in captured.get().rstrip().splitlines())

    def __rich__(self) -> "Table":
        from rich.box import Box
        from rich.table import Table
        from rich.text import Text

        # Folded and never cut: a path is of no use without its end. As Text, for "[3]" is no markup.
        foot = self._table_foot()
        table = Table(
            box=Box(_RULES, ascii=True),
            show_edge=False,
            pad_edge=False,
            collapse_padding=True,
            show_footer=bool(foot),
        )
        columns = self._table_columns()
        for name, below in zip(columns, foot or ("",) * len(columns), strict=True):
            side = "right" if name.startswith(":") else "left"
            table.add_column(name.removeprefix(":"), Text(below), justify=side, overflow="fold")
        for row in self._table_rows():
            table.add_row(*map(Text, row), style="dim" if self._is_faint(row) else "")
        return table

    def _repr_html_(self) -> str:
        columns, foot = self._table_columns(), self._table_foot()
        head = _html_row([name.removeprefix(":") for name in columns], columns, tag="th")
        body = "".join(_html_row(row, columns, faint=self._is_faint(row)) for row in self._table_rows())
        below = f"<tfoot>{_html_row(foot, columns, tag='th')}</tfoot>" if foot else ""
        return (
            '<table style="border-collapse: collapse">'
            f"<thead>{head}</thead><tbody>{body}</tbody>{below}</table>"
        )


def _width() -> int:
    """The columns there are to print to: those of the terminal, or as many as it takes."""
    if "COLUMNS" not in os.environ and not (sys.stdout and sys.stdout.isatty()):
        return 100_000  # into a file or a pipe: what is folded there is not found again
    return max(80, shutil.get_terminal_size().columns)  # below 80 the numbers would be folded, too


def _html_row(cells: Sequence[str], columns: Sequence[str], *, tag: str = "td", faint: bool = False) -> str:
    # The notebook's own colours, light or dark; its alignment is for numbers only.
    sides = ("right" if name.startswith(":") else "left" for name in columns)
    drawn = "".join(
        f'<{tag} style="text-align: {side}; padding: 2px 8px">{html.escape(cell)}</{tag}>'
        for side, cell in zip(sides, cells, strict=True)
    )
    return f'<tr style="opacity: 0.6">{drawn}</tr>' if faint else f"<tr>{drawn}</tr>"
