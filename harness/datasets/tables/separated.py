"""Read CSV and TSV files, plain or compressed, a few thousand rows at a time; every value is a string at first."""

import csv
from collections.abc import Generator, Iterator
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from harness.datasets.ahead import Ahead
from harness.datasets.compressed import CompressedFile
from harness.datasets.tables.forms import SEPARATORS, suffix_of
from harness.datasets.tables.records import Records, read_records
from harness.datasets.tables.source import TableBlock
from harness.datasets.tables.spec import TableOptions
from harness.datasets.tables.values import is_number
from harness.datasets.text import text_pieces
from training.errors import InputError

if TYPE_CHECKING:
    import polars as pl

_FRAMES_AHEAD = 2
_SNIFF_BYTES = 256 << 10
_SNIFF_ROWS = 100


class SeparatedFile:
    """A CSV or TSV file; the attributes are those of `TableSource`.

    Raises:
        InputError: The file cannot be read or is empty.
    """

    def __init__(self, path: Path, options: TableOptions) -> None:
        self.name, self._path = str(path), path
        self.notes: list[str] = []
        with CompressedFile(path) as file:
            self.bytes_total = file.bytes_total
            file.check_end()
            with closing(text_pieces(file, tables=True)) as pieces:
                start = b""
                while len(start) < _SNIFF_BYTES and (piece := next(pieces, b"")):
                    start += piece
        text = start[:_SNIFF_BYTES].decode(errors="replace").replace("\r\n", "\n")
        whole = len(start) <= _SNIFF_BYTES
        self._separator = options.separator or _separator_of(text, suffix_of(path.name))
        rows = _first_rows(text, self._separator, whole=whole)
        if not rows:
            raise InputError(f"{self.name}: is empty\nname a file with rows")
        first = rows[0]
        named = not any(map(is_number, first)) if options.header == "auto" else options.header == "yes"
        # A single row of text is a header without rows, which the number of rows shows later.
        self._has_header = named
        self.columns = _names(first) if named else [str(number) for number in range(len(first))]
        if any(not name.strip() for name in first) and named:
            self.notes.append(
                "a column without a name is called unnamed_N, with N its number from 0; if it is an index, leave it out"
            )

    def blocks(self) -> Iterator[TableBlock]:
        """Yield the rows; see `TableSource`."""
        names = int(self._has_header)
        with CompressedFile(self._path) as file:
            file.check_end()
            # Cutting and parsing the next rows goes on while these are in use.
            with closing(Ahead(self._parsed(file), _FRAMES_AHEAD)) as ahead:
                for frame, records in ahead:
                    if frame.height > names:
                        place = records.without_first(names).place
                        yield TableBlock(frame[names:], place, file.bytes_done)
                    names = 0

    def _parsed(self, file: CompressedFile) -> "Generator[tuple[pl.DataFrame, Records], None, None]":
        for records in read_records(file, self._separator, len(self.columns)):
            if len(records.lines):
                yield _parse(records, self._separator, self.columns), records.without_first(0)


def _parse(records: Records, separator: str, columns: list[str]) -> "pl.DataFrame":
    import polars as pl  # noqa: PLC0415 - a third of a second, for tables alone

    try:
        frame = pl.read_csv(
            records.text,
            has_header=False,
            separator=separator,
            quote_char='"' if b'"' in records.text else None,
            schema=dict.fromkeys([str(number) for number in range(len(columns))], pl.String()),
        )
    except pl.exceptions.PolarsError as error:
        _refuse_bytes(records)
        raise InputError(f"{records.place(0)}: the rows from here on cannot be parsed ({error})") from error
    if frame.height != len(records.lines):
        _refuse_bytes(records)
        raise InputError(f"{records.place(0)}: the rows from here on cannot be parsed")
    frame.columns = columns
    return frame


def _refuse_bytes(records: Records) -> None:
    try:
        records.text.decode()
    except UnicodeDecodeError as error:
        record = records.text.count(b"\n", 0, error.start)
        raise InputError(
            f"{records.place(min(record, len(records.lines) - 1))}: is not UTF-8 text\n"
            f"convert the file with `iconv -f WINDOWS-1252 -t UTF-8`, or from the encoding that it has"
        ) from error


def _separator_of(text: str, suffix: str) -> str:
    """Return the separator that gives the most columns, the same number in most rows."""
    candidates = "\t" + SEPARATORS if suffix in {".tsv", ".tab"} else SEPARATORS
    best, best_score = candidates[0], (0.0, 0)
    for separator in candidates:
        rows = _first_rows(text, separator, whole=False)[:_SNIFF_ROWS]
        if not rows or len(rows[0]) < 2:
            continue
        agree = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
        if (score := (round(agree, 1), len(rows[0]))) > best_score:
            best, best_score = separator, score
    return best


def _first_rows(text: str, separator: str, *, whole: bool) -> list[list[str]]:
    rows = []
    try:
        for row in csv.reader(StringIO(text, newline=""), delimiter=separator):
            rows.append(row)
            if len(rows) > _SNIFF_ROWS:
                break
    except csv.Error:
        pass  # the reader of all rows names the line
    rows = rows if whole or len(rows) < 2 or len(rows) > _SNIFF_ROWS else rows[:-1]
    return [row for row in rows if row]


def _names(first: list[str]) -> list[str]:
    return [name.strip() or f"unnamed_{number}" for number, name in enumerate(first)]
