"""A table as its files hold it: names of columns, and blocks of rows as polars frames."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from training.errors import InputError

if TYPE_CHECKING:
    import polars as pl

_MOST_SHOWN = 12


class TableBlock(NamedTuple):
    """Some rows of a table.

    Attributes:
        frame: One column per column of the table; those of a text are strings, null where nothing stands.
        place: Returns the place of a row of the frame, for errors: the file and its line or row.
        done: The number of bytes on disk that have been read, of all files.
    """

    frame: "pl.DataFrame"
    place: Callable[[int], str]
    done: int


@dataclass(frozen=True, slots=True)
class RowPlace:
    """The place of a row of a block, in a file whose rows have numbers.

    Attributes:
        name: The file.
        first: The number of rows before the block.
    """

    name: str
    first: int

    def __call__(self, row: int) -> str:
        """Return the place of a row of the block."""
        return f"{self.name} row {self.first + row + 1:,}"


class TableSource(Protocol):
    """One file with a table.

    Attributes:
        name: Its name in errors.
        columns: The names of its columns.
        bytes_total: Its size on disk.
        notes: What the user should know about the file.
    """

    name: str
    columns: list[str]
    bytes_total: int
    notes: list[str]

    def blocks(self) -> Iterator[TableBlock]:
        """Yield the rows in order, in blocks of bounded size.

        Raises:
            InputError: The file cannot be read or is damaged; the message gives the place.
        """
        ...


class Table:
    """Files with a table each, read as one.

    Attributes:
        name: Their name in errors.
        columns: The names of the columns, as the first file has them.
        bytes_total: Their size on disk.
        notes: What the user should know about the files.

    Raises:
        InputError: A name of a column occurs twice, a file has other columns than the first, or a column to leave out
            does not exist.
    """

    def __init__(self, name: str, sources: list[TableSource], drop: Sequence[str] = ()) -> None:
        self.name, self._sources = name, sources
        self.bytes_total = sum(source.bytes_total for source in sources)
        self.notes = list(dict.fromkeys(note for source in sources for note in source.notes))
        for source in sources:
            _check_names(source)
            _check_same(source, sources[0])
        self.columns = sources[0].columns
        self.check_columns(drop, "--drop")
        self.columns = [name for name in self.columns if name not in set(drop)]

    def blocks(self) -> Iterator[TableBlock]:
        """Yield the rows of all files in order, in blocks of bounded size."""
        done = 0
        for source in self._sources:
            for block in source.blocks():
                frame = block.frame if source.columns == self.columns else block.frame.select(self.columns)
                yield TableBlock(frame, block.place, done + block.done)
            done += source.bytes_total

    def check_columns(self, columns: Sequence[str], what: str) -> None:
        """Refuse names that are not columns of the table.

        Raises:
            InputError: There is no such column; the message lists the columns.
        """
        for column in columns:
            if column not in self.columns:
                raise InputError(f"{self.name}: there is no column `{column}` ({what})\n{list_columns(self.columns)}")


def list_columns(columns: list[str]) -> str:
    """Return the columns' names for an error."""
    shown = ", ".join(f"`{name}`" for name in columns[:_MOST_SHOWN])
    more = len(columns) - _MOST_SHOWN
    return f"the columns are {shown}" + (f" and {more:,} more" if more > 0 else "")


def _check_names(source: TableSource) -> None:
    seen: set[str] = set()
    for column in source.columns:
        if column in seen:
            raise InputError(f"{source.name}: the column `{column}` occurs twice\ngive each column a name of its own")
        seen.add(column)


def _check_same(source: TableSource, first: TableSource) -> None:
    here, there = set(source.columns), set(first.columns)
    lacks = [name for name in first.columns if name not in here]
    more = [name for name in source.columns if name not in there]
    if lacks or more:
        parts = [f"lacks `{lacks[0]}`"] if lacks else []
        parts += [f"has `{more[0]}` in addition"] if more else []
        raise InputError(
            f"{source.name}: {' and '.join(parts)}, compared with {first.name}\n"
            "several files need the same columns; name only files that have them"
        )
