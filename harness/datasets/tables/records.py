r"""Cut the text of a table into whole records, and check its shape before it is parsed.

RFC 4180: a record ends with a newline; a value that holds a separator, a newline or a quote stands in double quotes,
with its own quotes doubled. Quotes open and close by turns, so a byte is quoted if an odd number of quotes precedes it.

    7,"a, ""b""\nc",2\n
      ^    ^^ ^^   ^
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.datasets.compressed import CompressedFile
from harness.datasets.text import text_pieces
from training.errors import InputError

Positions = npt.NDArray[np.intp]

QUOTE = b'"'
# Text is parsed in pieces of about this size; a longer record is a quote that nobody closed.
RECORDS_BYTES = 4 << 20
_LONGEST_RECORD_BYTES = 32 << 20
_NEWLINE, _RETURN, _QUOTE = 10, 13, 34


@dataclass(frozen=True, slots=True)
class Records:
    """Whole records of a text.

    Attributes:
        source: The file's name.
        text: The records, each with its newline; blank lines are left out.
        lines: The number of the line in which each record begins.
    """

    source: str
    text: bytes
    lines: npt.NDArray[np.int64]

    def without_first(self, records: int) -> "Records":
        """Return the places of the records after the first ones; without their text."""
        return Records(self.source, b"", self.lines[records:])

    def place(self, record: int) -> str:
        """Return the place of a record for an error."""
        return f"{self.source} line {self.lines[record]:,}"


def read_records(file: CompressedFile, separator: str, width: int | None) -> Iterator[Records]:
    """Yield the records of a file in order, in pieces of bounded size.

    Args:
        file: The file.
        separator: The character between values.
        width: The number of values of a record; None to check none.

    Raises:
        InputError: The file cannot be read, a record has another number of values, or a quote stands in a wrong place;
            the message gives the line.
    """
    line = 1
    for text in _whole_records(file):
        yield _checked(text, line, file.name, separator, width)
        line += text.count(b"\n")


def _whole_records(file: CompressedFile) -> Iterator[bytes]:
    held: list[bytes] = []
    size, line, wanted = 0, 1, RECORDS_BYTES
    for piece in text_pieces(file, tables=True):
        held.append(piece)
        size += len(piece)
        if size < wanted:
            continue
        text = b"".join(held)
        end = _end_of_records(text)
        if not end and len(text) > _LONGEST_RECORD_BYTES:
            _refuse_quotes(text, line, file.name)
            raise InputError(
                f"{file.name} line {line:,}: a record does not end within {_LONGEST_RECORD_BYTES >> 20} MiB\n"
                "close the quote that opens one of its values"
            )
        if end:
            yield text[:end]
            line += text[:end].count(b"\n")
        held, size = [text[end:]], len(text) - end
        # A long record is not searched for its end with every piece.
        wanted = RECORDS_BYTES if end else 2 * size
    text = b"".join(held)
    if not text:
        return
    if text.count(QUOTE) % 2:
        _refuse_quotes(text, line, file.name)
        opened = line + text.count(b"\n", 0, text.rfind(QUOTE))
        raise InputError(f"{file.name} line {opened:,}: the quote that opens a value is never closed")
    yield text if text.endswith(b"\n") else text + b"\n"


def _end_of_records(text: bytes) -> int:
    """Return the end of the last whole record."""
    if QUOTE not in text:
        return text.rfind(b"\n") + 1
    array = np.frombuffer(text, np.uint8)
    ends = _unquoted(np.flatnonzero(array == _NEWLINE), np.flatnonzero(array == _QUOTE))
    return int(ends[-1]) + 1 if len(ends) else 0


def _unquoted(places: Positions, quotes: Positions) -> Positions:
    """Return the places that stand outside of quotes."""
    if not len(quotes):
        return places
    return np.asarray(places[np.searchsorted(quotes, places) % 2 == 0], np.intp)


def _checked(text: bytes, line: int, source: str, separator: str, width: int | None) -> Records:
    array = np.frombuffer(text, np.uint8)
    newlines = np.flatnonzero(array == _NEWLINE)
    quotes = np.flatnonzero(array == _QUOTE)
    if len(quotes):
        _refuse_quotes(text, line, source, separator.encode())
    ends = _unquoted(newlines, quotes)
    starts = np.append(0, ends[:-1] + 1)
    lines = line + (np.arange(len(ends)) if len(ends) == len(newlines) else np.searchsorted(newlines, starts))
    sizes = ends - starts
    blank = (sizes == 0) | ((sizes == 1) & (array[starts] == _RETURN))
    separators = np.searchsorted(_unquoted(np.flatnonzero(array == ord(separator)), quotes), ends)
    values = np.diff(separators, prepend=0) + 1
    if width is not None and (wrong := (values != width) & ~blank).any():
        record = int(wrong.argmax())
        many = f"{values[record]} value{'s' if values[record] != 1 else ''}"
        raise InputError(
            f"{source} line {lines[record]:,}: has {many}; the first row has {width}\n"
            'put a value that holds a separator in double quotes (")'
        )
    if blank.any():
        keep = np.ones(len(array), np.bool_)
        keep[ends[blank]] = keep[starts[blank]] = False
        text, lines = array[keep].tobytes(), lines[~blank]
    return Records(source, text, lines)


def _refuse_quotes(text: bytes, line: int, source: str, separator: bytes = b"") -> None:
    """Refuse a quote within a value that does not begin with one, and text behind a value's last quote.

    Raises:
        InputError: There is such a quote; the message gives its line.
    """
    array: npt.NDArray[Any] = np.frombuffer(b"\n" + text + b"\n", np.uint8)
    quotes = np.flatnonzero(array == _QUOTE)
    between = [_NEWLINE, *(separator or b",;\t|")]
    opening, closing = quotes[::2], quotes[1::2]
    # A doubled quote closes the value and opens it again at once.
    again = np.append(False, opening[1:] == closing[: len(opening) - 1] + 1)
    wrong_open = ~np.isin(array[opening - 1], between) & ~again
    wrong_close = ~np.isin(array[closing + 1], [*between, _RETURN, _QUOTE])
    first_open = int(opening[wrong_open.argmax()]) if wrong_open.any() else len(array)
    first_close = int(closing[wrong_close.argmax()]) if wrong_close.any() else len(array)
    if first_open == first_close:
        return
    place = min(first_open, first_close) - 1
    at = line + text.count(b"\n", 0, place)
    where = f"{source} line {at:,}"
    if first_open < first_close:
        raise InputError(
            f'{where}: a quote (") within a value that does not begin with one\n'
            "put the value in double quotes, and double its own quotes"
        )
    opened = line + text.count(b"\n", 0, int(quotes[np.searchsorted(quotes, first_close) - 1]) - 1)
    raise InputError(
        f"{where}: text follows the quote that closes a value; the value begins in line {opened:,}\n"
        "double the quotes within a value, and close its last one"
    )
