"""Tables on standard output that fit the terminal's width and never cut a value."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.cli._terminal import printable
from harness.system.console import ASIDE, HEADING, results

# A column that may be folded is at least this wide; with less room, each row becomes a paragraph.
LEAST_FOLDED = 16


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of a table.

    Attributes:
        heading: Its heading.
        right: Whether its values are aligned on the right, as figures are.
        folds: Whether its values may be folded into several lines where the terminal is narrow. Those of other columns
            stay in one piece, so that a user can copy an id.
    """

    heading: str
    right: bool = False
    folds: bool = False


def figures(*headings: str) -> list[TableColumn]:
    """Return columns of figures, aligned on the right."""
    return [TableColumn(heading, right=True) for heading in headings]


def fits(columns: Sequence[TableColumn], rows: Sequence[Sequence[str | Text]], console: Console | None = None) -> bool:
    """Return whether a table of whole values fits the terminal's width."""
    tight = _tight(columns, _cells(rows))
    least = [min(width, LEAST_FOLDED) if column.folds else width for column, width in zip(columns, tight, strict=True)]
    return _total(least) <= (console or results()).width


def print_table(
    columns: Sequence[TableColumn], rows: Sequence[Sequence[str | Text]], console: Console | None = None
) -> None:
    """Print a table.

    In a pipe or a file, each row takes one line. On a terminal that is too narrow, headings and columns that may be
    folded are folded; where that is not enough, each row becomes a paragraph with one value per line.

    Args:
        columns: Its columns.
        rows: Its rows, one cell per column. Control characters in plain strings are escaped; a `Text` is trusted.
        console: Where to print it; standard output by default.
    """
    console = console or results()
    cells = _cells(rows)
    tight = _tight(columns, cells)
    whole = [max(width, _width([column.heading])) for column, width in zip(columns, tight, strict=True)]
    if _total(whole) <= console.width:
        console.print(_table(columns, cells, whole))
    elif fits(columns, rows, console):
        fixed = [None if column.folds else width for column, width in zip(columns, tight, strict=True)]
        console.print(_table(columns, cells, fixed))
    else:
        for number, row in enumerate(cells):
            console.print(*[""] * (number > 0), _paragraph(columns, row), sep="\n")


def _cells(rows: Sequence[Sequence[str | Text]]) -> list[list[Text]]:
    return [[cell if isinstance(cell, Text) else Text(printable(cell)) for cell in row] for row in rows]


def _tight(columns: Sequence[TableColumn], cells: Sequence[Sequence[Text]]) -> list[int]:
    """Return the widths of the columns with whole values, and with headings that are folded between words."""
    values = [_width(line for row in cells for line in row[at].plain.splitlines()) for at in range(len(columns))]
    return [max(width, _width(column.heading.split())) for column, width in zip(columns, values, strict=True)]


def _total(widths: Sequence[int]) -> int:
    """Return the width of a table: one space is on each side of a column, none at the edges."""
    return sum(widths) + 2 * (len(widths) - 1)


def _width(texts: Iterable[str]) -> int:
    return max((cell_len(printable(text)) for text in texts), default=0)


def _table(columns: Sequence[TableColumn], cells: Sequence[Sequence[Text]], widths: Sequence[int | None]) -> Table:
    """Return the table; the console chooses the widths that are not given, and folds what is longer."""
    table = Table(box=None, pad_edge=False, header_style=HEADING)
    for column, width in zip(columns, widths, strict=True):
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(Text(printable(column.heading)), justify=justify, overflow="fold", width=width)
    for row in cells:
        table.add_row(*row)
    return table


def _paragraph(columns: Sequence[TableColumn], row: Sequence[Text]) -> Table:
    """Return a row as lines of a heading and a value; a value that is too long is folded."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style=ASIDE, no_wrap=True)
    grid.add_column(overflow="fold")
    for column, cell in zip(columns, row, strict=True):
        if cell.plain:
            grid.add_row(Text(printable(column.heading)), cell)
    return grid
