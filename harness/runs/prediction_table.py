"""The table that a prediction writes: CSV or Parquet, all of it or nothing, in bounded memory."""

import csv
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO, cast

import numpy as np

from harness.errors import HarnessError

# The limit of the predictions in memory; more go to disk.
_SPOOL_BYTES = 16 << 20

Columns = dict[str, list[Any]]


class AnswerTable(Protocol):
    """A table under construction; leaving its block without an error writes it to its place."""

    def add(self, columns: Columns) -> None:
        """Add rows: the values of each column."""


@contextmanager
def answer_table(output: Path | None) -> Iterator[AnswerTable]:
    """Collect a table during the block, and write it at its end.

    Args:
        output: The file, Parquet if its name ends so, else CSV; None for CSV on standard output.

    Raises:
        HarnessError: There is no room, or the file cannot be written.
    """
    if output is not None and output.suffix.lower() == ".parquet":
        with _parquet(output) as table:
            yield table
    else:
        with _csv(output) as table:
            yield table


class _CsvTable:
    def __init__(self, file: TextIO) -> None:
        self._writer, self._begun = csv.writer(file), False

    def add(self, columns: Columns) -> None:
        if not self._begun:
            self._writer.writerow(columns)
            self._begun = True
        values: list[Sequence[Any]] = [
            [_text(value) for value in column] if column and isinstance(column[0], float | bool) else column
            for column in columns.values()
        ]
        with _writing("the predictions", _temporary_room()):
            self._writer.writerows(zip(*values, strict=True))


class _ParquetTable:
    """Keeps a piece of the table for each call, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._pieces = folder, 0

    def add(self, columns: Columns) -> None:
        import polars as pl  # noqa: PLC0415 - for Parquet alone

        types = {name: pl.Float32 for name in columns if name.startswith(("score_", "probability_", "prediction"))}
        with _writing("the predictions", _temporary_room()):
            frame = pl.DataFrame(columns, schema_overrides=types)
            frame.write_parquet(self._folder / f"{self._pieces:08d}.parquet")
        self._pieces += 1


@contextmanager
def _csv(output: Path | None) -> Iterator[_CsvTable]:
    with tempfile.SpooledTemporaryFile(_SPOOL_BYTES, "w+", encoding="utf-8", newline="") as spool:
        yield _CsvTable(cast("TextIO", spool))
        spool.seek(0)
        if output is None:
            shutil.copyfileobj(spool, sys.stdout)
        else:
            with _writing(str(output), "for it"), output.open("w", encoding="utf-8", newline="") as file:
                shutil.copyfileobj(spool, file)


@contextmanager
def _parquet(output: Path) -> Iterator[_ParquetTable]:
    import polars as pl  # noqa: PLC0415 - for Parquet alone

    with tempfile.TemporaryDirectory() as folder:
        yield _ParquetTable(Path(folder))
        pieces = pl.scan_parquet(Path(folder) / "*.parquet")
        with _writing(str(output), "for it"):
            pieces.sink_parquet(output)


@contextmanager
def _writing(what: str, room: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HarnessError(
            f"{what} cannot be written: {error.strerror or error}", remedy=f"make room {room}"
        ) from error


def _temporary_room() -> str:
    return f"in {tempfile.gettempdir()}, or set TMPDIR to a folder on a larger disk"


def _text(value: float | bool) -> str:  # noqa: FBT001 - a value of the table
    """Return a value as text, a number with the digits that tell it from all others of single precision."""
    if isinstance(value, bool):
        return str(value).lower()
    # By way of Python's float, since NumPy writes 1436383.4 as 1.4363834e+06.
    return str(float(str(np.float32(value)))).removesuffix(".0")
