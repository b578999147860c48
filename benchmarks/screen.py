"""Print tables to the screen, or at full width to a file."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

# A file has no width.
WIDTH_OF_FILES = 220


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table to standard output."""
    screen = Console()
    if not screen.is_terminal:
        screen.width = WIDTH_OF_FILES
    table = Table(*headings, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    screen.print(table)
