"""LIBSVM text: `<label> <index>:<value> <index>:<value> ...`, one row a line.

A label is a class and so a whole number, in whatever notation: `1`, `+1`, `1.000000000000000000e+00`.
Indices start at 1 and rise within a line; a feature that is left out is zero.
Blank lines and everything after a `#` are skipped.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from training.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.integer[Any]]

# Text is parsed in pieces of about this many bytes, so that the arrays beside it stay small.
PIECE_BYTES = 4 << 20
# From here on float32 rounds to infinity: half a unit in the last place above its largest number.
FLOAT32_OVERFLOW = 2.0**128 - 2.0**103

# Why an index is too large, as an error says it.
BEYOND_THE_JOB = "the job's number of features"

# Bytes that text does not hold: control characters other than white space. They are looked for in the beginning.
_NO_TEXT, _SNIFF_BYTES = bytes([*range(9), *range(14, 32)]), 4096

_COLON, _NEWLINE, _BLANK, _ZERO = map(np.uint8, b":\n 0")
_MOST_DIGITS = 9


@dataclass(frozen=True)
class ParsedLines:
    """Rows as the text has them, without the zeros that it leaves out.

    Attributes:
        labels: One per row.
        pairs: How many `index:value` pairs each row has.
        index: The 1-based indices of all rows, one row after the other.
        value: The values beside them.
    """

    labels: FloatArray
    pairs: IntArray
    index: IntArray
    value: FloatArray

    @property
    def ends(self) -> IntArray:
        """Where each row's pairs begin, and in the end how many there are."""
        return np.append(0, np.cumsum(self.pairs))

    def rows(self, first: int, end: int) -> "ParsedLines":
        """Some of the rows."""
        here = slice(*self.ends[[first, min(end, len(self.pairs))]].tolist())
        return ParsedLines(self.labels[first:end], self.pairs[first:end], self.index[here], self.value[here])

    def scatter_into(self, x: FloatArray) -> None:
        """Writes the values to their places in `x`, which holds zeros."""
        if len(self.value) == x.size:  # indices rise: every one of them is there
            x[:] = self.value.reshape(x.shape)
        else:
            x[np.repeat(np.arange(len(self.pairs)), self.pairs), self.index - 1] = self.value

    def to_csr(self, n_features: int) -> "csr_array[Any]":
        """The rows as a sparse matrix of so many columns."""
        from training.sparse import csr_rows  # noqa: PLC0415 - scipy is for sparse rows alone

        return csr_rows(self.value, self.index.astype(np.int32) - np.int32(1), self.ends, n_features)


def is_text(body: bytes) -> bool:
    """Whether the first bytes may be LIBSVM text, rather than some binary format."""
    start = body[:_SNIFF_BYTES]
    return start.translate(None, _NO_TEXT) == start


def parse_dense(text: bytes, *, source: str, n_features: int) -> tuple[FloatArray, FloatArray]:
    """Parses a whole text into dense rows.

    Args:
        text: The lines.
        source: What errors call the text.
        n_features: Columns of the result; a larger index is an error.

    Returns:
        `x` (rows, n_features) and `y` (rows,).

    Raises:
        InputError: A line does not parse; it is named by its number.
    """
    most_rows = text.count(b"\n") + 1
    x = np.zeros((most_rows, n_features), np.float32)
    y = np.empty(most_rows, np.float32)
    rows = 0
    for parsed in _parse_pieces(text, source, n_features):
        here = slice(rows, rows + len(parsed.labels))
        y[here] = parsed.labels
        parsed.scatter_into(x[here])
        rows = here.stop
    return x[:rows], y[:rows]


def parse_sparse(text: bytes, *, source: str, n_features: int) -> tuple["csr_array[Any]", FloatArray]:
    """Parses a whole text into sparse rows, as `parse_dense` into dense ones."""
    pieces = list(_parse_pieces(text, source, n_features))
    whole = ParsedLines(
        np.concatenate([piece.labels for piece in pieces]),
        np.concatenate([piece.pairs for piece in pieces]),
        np.concatenate([piece.index for piece in pieces]),
        np.concatenate([piece.value for piece in pieces]),
    )
    return whole.to_csr(n_features), whole.labels


def _parse_pieces(text: bytes, source: str, n_features: int) -> Iterator[ParsedLines]:
    first_line = 1
    for piece in _cut_at_lines(text):
        yield parse_lines(piece, source=source, first_line=first_line, n_features=n_features)
        first_line += piece.count(b"\n")


def _cut_at_lines(text: bytes) -> Iterator[bytes]:
    """At least one piece, also of an empty text."""
    start = 0
    while end := text.find(b"\n", start + PIECE_BYTES) + 1:
        yield text[start:end]
        start = end
    yield text[start:]


def parse_lines(
    text: bytes, *, source: str, first_line: int, n_features: int, beyond: str = BEYOND_THE_JOB
) -> ParsedLines:
    """Parses some lines of a text.

    Args:
        text: Whole lines.
        source: What errors call the text.
        first_line: Number of the first of these lines.
        n_features: The largest index allowed.
        beyond: What an index above that exceeds.

    Raises:
        InputError: A line does not parse; it is named by its number.
    """
    return _parse_regular(text, n_features) or _parse_carefully(text, source, first_line, n_features, beyond)


def _parse_regular(text: bytes, n_features: int) -> ParsedLines | None:
    """Parses all lines at once; None when anything at all is unusual or wrong."""
    if not text.endswith(b"\n"):
        text += b"\n"
    layout = _find_pairs(text)
    if layout is None:
        return None
    pairs, index = layout
    try:
        with np.errstate(over="ignore"):
            numbers = np.fromstring(text.replace(b":", b" "), np.float32, sep=" ")
    except ValueError:
        return None
    if len(numbers) != len(pairs) + 2 * len(index) or not np.isfinite(numbers).all():
        return None
    is_label = np.zeros(len(numbers), np.bool_)
    is_label[np.cumsum(2 * pairs + 1) - 2 * pairs - 1] = True
    labels, value = numbers[is_label], numbers[~is_label][1::2]
    if not np.array_equal(labels, np.rint(labels)) or not _indices_are_right(index, pairs, n_features):
        return None
    return ParsedLines(labels, pairs, index, value)


def _find_pairs(text: bytes) -> tuple[IntArray, IntArray] | None:
    """Pairs per line, and all indices; None unless every line is a plain word and then `index:value` words."""
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
    is_pair = np.ones(len(word_at), np.bool_)
    is_pair[words_until - words] = False
    colons = np.diff(np.searchsorted(colon_at, np.append(word_at, len(text))))
    if not np.array_equal(colons, is_pair):
        return None
    index = _read_digits(characters, word_at[is_pair], colon_at)
    return None if index is None else (words - 1, index)


def _read_digits(characters: npt.NDArray[np.uint8], start: IntArray, end: IntArray) -> IntArray | None:
    """The whole numbers that stand from each start to its end; None when one of them is something else."""
    number = np.zeros(len(start), np.int64)
    length = end - start
    if length.min(initial=1) < 1 or length.max(initial=0) > _MOST_DIGITS:
        return None
    for position in range(length.max(initial=0)):
        here = position < length
        digit = characters[start[here] + position] - _ZERO  # what is below `0` becomes large: unsigned
        if (digit > 9).any():
            return None
        number[here] = number[here] * 10 + digit
    return number


def _indices_are_right(index: IntArray, pairs: IntArray, n_features: int) -> bool:
    if not 1 <= index.min(initial=1) <= index.max(initial=1) <= n_features:
        return False
    row = np.repeat(np.arange(len(pairs)), pairs)
    # The position in the matrix always rises from row to row; within a row it does when the index does.
    return bool((np.diff(row * n_features + index) > 0).all())


def _parse_carefully(text: bytes, source: str, first_line: int, n_features: int, beyond: str) -> ParsedLines:
    """Parses line by line: slow, but it takes all that is allowed and tells what is wrong with the rest."""
    labels, pairs, indices, values = array("f"), array("q"), array("q"), array("f")
    for number, line in enumerate(text.split(b"\n"), first_line):
        words = line.partition(b"#")[0].split()
        if not words:
            continue
        try:
            labels.append(_label(words[0]))
            last = 0
            for word in words[1:]:
                last, value = _pair(word, last, n_features, beyond)
                indices.append(last)
                values.append(value)
        except ValueError as error:
            raise InputError(f"{source} line {number}: {error}") from None
        pairs.append(len(words) - 1)
    return ParsedLines(
        np.array(labels, np.float32),
        np.array(pairs, np.int64),
        np.array(indices, np.int64),
        np.array(values, np.float32),
    )


def _label(word: bytes) -> float:
    label = _number(word, "label")
    if not label.is_integer():
        raise ValueError(f"label {_quote(word)} is not a whole number; labels are classes")
    return label


def _pair(word: bytes, last: int, n_features: int, beyond: str) -> tuple[int, float]:
    index_text, colon, value_text = word.partition(b":")
    if not colon:
        raise ValueError(f"{_quote(word)} is not of the form index:value")
    if not index_text.isdigit():
        raise ValueError(f"index {_quote(index_text)} is not a whole number from 1 upwards")
    index = int(index_text)
    if index < 1:
        raise ValueError("feature index 0; indices start at 1")
    if index > n_features:
        raise ValueError(f"feature index {index} is beyond {n_features}, {beyond}")
    if index <= last:
        raise ValueError(f"feature index {index} comes after {last}; indices must rise within a line")
    return index, _number(value_text, f"value of feature {index}")


def _number(word: bytes, what: str) -> float:
    try:
        number = float(word)
    except ValueError:
        raise ValueError(f"{what} {_quote(word)} is not a number") from None
    if b"_" in word:  # Python reads 1_000 as a number; no other reader of the format does.
        raise ValueError(f"{what} {_quote(word)} is not a number")
    if not abs(number) < FLOAT32_OVERFLOW:
        raise ValueError(f"{what} {_quote(word)} is not a finite number of single precision")
    return number


def _quote(word: bytes) -> str:
    """A word of the text as an error shows it: printable and not long."""
    shown = word[:40].decode("ascii", "backslashreplace")
    return f"`{shown}...`" if len(word) > 40 else f"`{shown}`"
