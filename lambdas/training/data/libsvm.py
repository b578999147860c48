"""LIBSVM text: `<label> <index>:<value> <index>:<value> ...`, one row a line.

A label is a finite number in any notation: `1`, `+1`, `1.000000000000000000e+00`.
Indices start at 1, or at 0 in a zero-based text, and ascend within a line; an omitted feature is zero.
Blank lines, everything after a `#`, and the query id of ranking data (`qid:7` after the label) are skipped.
Numbers are read in double precision and rounded to single precision.

Two parsers read lines: a fast one parses all lines at once but only regular text, the other parses line by line.
The partitioner has a third for files; a test compares the three on texts of every kind.
"""

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from training.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.integer[Any]]

# Text is parsed in pieces of about this many bytes, to keep temporary arrays small.
PIECE_BYTES = 4 << 20
# The smallest number that float32 rounds to infinity: half a unit in the last place above its largest number.
FLOAT32_OVERFLOW = 2.0**128 - 2.0**103

# The limit that a too large index exceeds, for error messages.
BEYOND_THE_JOB = "the job's number of features; raise --n-features or leave it out"

# Bytes that text does not contain: control characters other than white space. Only the beginning is searched.
_NO_TEXT, _SNIFF_BYTES = bytes([*range(9), *range(14, 32)]), 4096

# The kind of line ends is detected in this many bytes of the beginning.
LINE_ENDS_BYTES = 64 << 10
UTF8_MARK = b"\xef\xbb\xbf"
_QUERY_ID = re.compile(rb"^([^\S\n]*[^\s:#]+)[^\S\n]+qid:[0-9]+(?![^\s#])", re.MULTILINE)

_COLON, _NEWLINE, _BLANK, _ZERO = map(np.uint8, b":\n 0")
_MOST_DIGITS = 9


class ZeroIndex(InputError):
    """A feature index is 0 in a text whose indices should start at 1."""


@dataclass(frozen=True)
class ParsedLines:
    """Parsed rows, without the zeros that the text omits.

    Attributes:
        labels: One label per row.
        pairs: Number of `index:value` pairs in each row.
        index: The indices of all rows, counted from 1, row by row.
        value: The value at each index.
    """

    labels: FloatArray
    pairs: IntArray
    index: IntArray
    value: FloatArray

    @property
    def ends(self) -> IntArray:
        """The offset of each row's first pair, and after the last row the number of pairs."""
        return np.append(0, np.cumsum(self.pairs))

    def rows(self, first: int, end: int) -> "ParsedLines":
        """Return the rows from `first` to before `end`."""
        here = slice(*self.ends[[first, min(end, len(self.pairs))]].tolist())
        return ParsedLines(self.labels[first:end], self.pairs[first:end], self.index[here], self.value[here])

    def scatter_into(self, x: FloatArray) -> None:
        """Write the values to their places in `x`, which is filled with zeros."""
        if len(self.value) == x.size:  # no feature is omitted, and indices ascend
            x[:] = self.value.reshape(x.shape)
        else:
            x[np.repeat(np.arange(len(self.pairs)), self.pairs), self.index - 1] = self.value

    def to_csr(self, n_features: int) -> "csr_array[Any]":
        """Return the rows as a sparse matrix with `n_features` columns."""
        from training.data.sparse import csr_rows  # noqa: PLC0415 - only sparse rows need scipy

        return csr_rows(self.value, self.index.astype(np.int32) - np.int32(1), self.ends, n_features)


def is_text(body: bytes) -> bool:
    """Return whether the first bytes may be LIBSVM text rather than a binary format."""
    start = body[:_SNIFF_BYTES]
    return start.translate(None, _NO_TEXT) == start


def has_old_line_ends(start: bytes) -> bool:
    """Return whether lines end with only a carriage return in the first `LINE_ENDS_BYTES` of a text."""
    return b"\n" not in start and b"\r" in start[:-1]


def without_query_ids(text: bytes) -> bytes:
    """Remove the query ids of ranking data, each the second word of its line."""
    return _QUERY_ID.sub(rb"\1", text) if b"qid:" in text else text


def parse_dense(
    text: bytes, *, source: str, n_features: int, zero_based: bool = False
) -> tuple[FloatArray, FloatArray]:
    """Parse a whole text into dense rows.

    Args:
        text: The lines.
        source: The name of the text in errors.
        n_features: Columns of the result; a larger index is an error.
        zero_based: Whether indices start at 0.

    Returns:
        `x` (rows, n_features) and `y` (rows,).

    Raises:
        InputError: A line cannot be parsed; the message has its number.
    """
    text = _plain(text)
    most_rows = text.count(b"\n") + 1
    x = np.zeros((most_rows, n_features), np.float32)
    y = np.empty(most_rows, np.float32)
    rows = 0
    for parsed in _parse_pieces(text, source, n_features, zero_based=zero_based):
        here = slice(rows, rows + len(parsed.labels))
        y[here] = parsed.labels
        parsed.scatter_into(x[here])
        rows = here.stop
    return x[:rows], y[:rows]


def parse_sparse(
    text: bytes, *, source: str, n_features: int, zero_based: bool = False
) -> tuple["csr_array[Any]", FloatArray]:
    """Parse a whole text into sparse rows; see `parse_dense`."""
    pieces = list(_parse_pieces(_plain(text), source, n_features, zero_based=zero_based))
    whole = ParsedLines(
        np.concatenate([piece.labels for piece in pieces]),
        np.concatenate([piece.pairs for piece in pieces]),
        np.concatenate([piece.index for piece in pieces]),
        np.concatenate([piece.value for piece in pieces]),
    )
    return whole.to_csr(n_features), whole.labels


def _plain(text: bytes) -> bytes:
    """Return the text without a byte order mark and with newlines as line ends."""
    text = text.removeprefix(UTF8_MARK)
    return text.replace(b"\r", b"\n") if has_old_line_ends(text[:LINE_ENDS_BYTES]) else text


def _parse_pieces(text: bytes, source: str, n_features: int, *, zero_based: bool) -> Iterator[ParsedLines]:
    first_line = 1
    for piece in _cut_at_lines(text):
        yield parse_lines(piece, source=source, first_line=first_line, n_features=n_features, zero_based=zero_based)
        first_line += piece.count(b"\n")


def _cut_at_lines(text: bytes) -> Iterator[bytes]:
    """Yield pieces of whole lines; an empty text is one piece."""
    start = 0
    while end := text.find(b"\n", start + PIECE_BYTES) + 1:
        yield text[start:end]
        start = end
    yield text[start:]


def parse_lines(
    text: bytes,
    *,
    source: str,
    first_line: int,
    n_features: int,
    beyond: str = BEYOND_THE_JOB,
    zero_based: bool = False,
) -> ParsedLines:
    """Parse some lines of a text.

    Args:
        text: Whole lines.
        source: The name of the text in errors.
        first_line: Number of the first of these lines.
        n_features: The number of columns; a larger index is an error.
        beyond: The limit that a larger index exceeds, for the error.
        zero_based: Whether indices start at 0.

    Raises:
        ZeroIndex: An index is 0 although indices start at 1.
        InputError: A line cannot be parsed; the message has its number.
    """
    text = without_query_ids(text)
    return parse_regular(text, n_features=n_features, zero_based=zero_based) or parse_one_by_one(
        text, source=source, first_line=first_line, n_features=n_features, beyond=beyond, zero_based=zero_based
    )


def parse_regular(text: bytes, *, n_features: int, zero_based: bool) -> ParsedLines | None:
    """Parse all lines at once; return None if any line is irregular or wrong."""
    if not text.endswith(b"\n"):
        text += b"\n"
    layout = _find_pairs(text)
    if layout is None:
        return None
    pairs, index = layout
    index += int(zero_based)
    try:
        with np.errstate(over="ignore"):
            numbers = np.fromstring(text.replace(b":", b" "), np.float32, sep=" ")
    except ValueError:
        return None
    # One number per label and two per pair; another count means that some word is not a single number.
    if len(numbers) != len(pairs) + 2 * len(index) or not np.isfinite(numbers).all():
        return None
    is_label = np.zeros(len(numbers), np.bool_)
    is_label[np.cumsum(2 * pairs + 1) - 2 * pairs - 1] = True
    labels, value = numbers[is_label], numbers[~is_label][1::2]
    if not _indices_are_right(index, pairs, n_features):
        return None
    return ParsedLines(labels, pairs, index, value)


def _find_pairs(text: bytes) -> tuple[IntArray, IntArray] | None:
    """Return the pairs per line and all indices; None unless each line is a label and `index:value` words."""
    characters = np.frombuffer(text, np.uint8)
    in_word = characters > _BLANK
    starts = in_word.copy()
    starts[1:] &= ~in_word[:-1]
    word_at = np.flatnonzero(starts)
    words_until = np.searchsorted(word_at, np.flatnonzero(characters == _NEWLINE))
    words = np.diff(words_until, prepend=0)
    if words.min() < 1:
        return None
    colon_at = np.flatnonzero(characters == _COLON)
    if not in_word[colon_at + 1].all():  # a value is missing
        return None
    is_pair = np.ones(len(word_at), np.bool_)
    is_pair[words_until - words] = False
    colons = np.diff(np.searchsorted(colon_at, np.append(word_at, len(text))))
    if not np.array_equal(colons, is_pair):
        return None
    index = _read_digits(characters, word_at[is_pair], colon_at)
    return None if index is None else (words - 1, index)


def _read_digits(characters: npt.NDArray[np.uint8], start: IntArray, end: IntArray) -> IntArray | None:
    """Return the whole numbers between each start and its end; None if any text there is not digits only."""
    number = np.zeros(len(start), np.int64)
    length = end - start
    if length.min(initial=1) < 1 or length.max(initial=0) > _MOST_DIGITS:
        return None
    for position in range(length.max(initial=0)):
        here = position < length
        digit = characters[start[here] + position] - _ZERO  # unsigned: characters below `0` become large numbers
        if (digit > 9).any():
            return None
        number[here] = number[here] * 10 + digit
    return number


def _indices_are_right(index: IntArray, pairs: IntArray, n_features: int) -> bool:
    if not 1 <= index.min(initial=1) <= index.max(initial=1) <= n_features:
        return False
    row = np.repeat(np.arange(len(pairs)), pairs)
    # The position in the matrix always ascends from row to row, and within a row if the indices do.
    return bool((np.diff(row * n_features + index) > 0).all())


class _Indices(NamedTuple):
    """The feature indices that a text may have.

    Attributes:
        n_features: The number of columns.
        beyond: The limit that a larger index exceeds, for the error.
        shift: Added to an index of the text, it gives the index counted from 1.
    """

    n_features: int
    beyond: str
    shift: int


def parse_one_by_one(
    text: bytes,
    *,
    source: str,
    first_line: int,
    n_features: int,
    zero_based: bool,
    beyond: str = BEYOND_THE_JOB,
) -> ParsedLines:
    """Parse line by line; slower, but it accepts everything allowed and reports exactly what is wrong."""
    allowed = _Indices(n_features, beyond, int(zero_based))
    labels, pairs, indices, values = array("f"), array("q"), array("q"), array("f")
    for number, line in enumerate(text.split(b"\n"), first_line):
        words = line.partition(b"#")[0].split()
        if not words:
            continue
        try:
            labels.append(_label(words[0]))
            last = 0
            for word in words[1:]:
                last, value = _pair(word, last, allowed)
                indices.append(last)
                values.append(value)
        except ValueError as error:
            kind = ZeroIndex if isinstance(error, _ZeroIndexError) else InputError
            raise kind(f"{source} line {number}: {error}") from None
        pairs.append(len(words) - 1)
    return ParsedLines(
        np.array(labels, np.float32),
        np.array(pairs, np.int64),
        np.array(indices, np.int64),
        np.array(values, np.float32),
    )


class _ZeroIndexError(ValueError):
    pass


def _label(word: bytes) -> float:
    if b":" in word:
        raise ValueError(f"the label is missing: the line begins with {_quote(word)}; put one first, such as 0")
    return _number(word, "label")


def _pair(word: bytes, last: int, allowed: _Indices) -> tuple[int, float]:
    """Return the index, counted from 1, and the value of a word; `last` is the previous index."""
    index_text, colon, value_text = word.partition(b":")
    if not colon:
        raise ValueError(f"{_quote(word)} is not of the form index:value")
    if not index_text:
        raise ValueError(f"an index is missing in {_quote(word)}; features have the form index:value")
    if not index_text.isdigit():
        raise ValueError(f"index {_quote(index_text)} is not a whole number from {1 - allowed.shift} upwards")
    digits = index_text.lstrip(b"0") or b"0"
    # Longer numbers exceed the limit in any case, and Python refuses to convert very long ones.
    index = int(digits[:12]) + allowed.shift
    if index < 1:
        raise _ZeroIndexError("feature index 0; indices start at 1, unless a zero-based file is read: --zero-based yes")
    if index > allowed.n_features:
        raise ValueError(
            f"feature index {_show(digits)} is beyond {allowed.n_features - allowed.shift}, {allowed.beyond}"
        )
    if index <= last:
        raise ValueError(
            f"feature index {_show(digits)} comes after {last - allowed.shift}; indices must rise within a line"
        )
    if not value_text:
        raise ValueError(
            f"the value of feature {_show(digits)} is missing in {_quote(word)}; write 0 or leave both out"
        )
    return index, _number(value_text, f"value of feature {_show(digits)}")


def _number(word: bytes, what: str) -> float:
    try:
        number = float(word)
    except ValueError:
        raise ValueError(f"{what} {_quote(word)} is not a number") from None
    if b"_" in word:  # only Python reads 1_000 as a number
        raise ValueError(f"{what} {_quote(word)} is not a number")
    if not abs(number) < FLOAT32_OVERFLOW:
        raise ValueError(f"{what} {_quote(word)} is not a finite number of single precision")
    return number


def _quote(word: bytes) -> str:
    """Return a word of the text for an error: printable, shortened and quoted."""
    return f"`{_show(word)}`"


def _show(word: bytes) -> str:
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode()
        for c in word[:40].decode("ascii", "backslashreplace")
    )
    return f"{shown}..." if len(word) > 40 else shown
