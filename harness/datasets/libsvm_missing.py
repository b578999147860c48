"""Missing values in LIBSVM text, written as `nan`: counted, or replaced before the text is parsed.

Replacing takes the word out (zero), writes the mean of its feature, or empties the line (drop), so that the numbers of
the other lines stay. A label is never replaced.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from harness.datasets.compressed import CompressedFile
from harness.datasets.data_file import read_rows
from harness.datasets.text import text_pieces
from training.data.schema import Missing
from training.errors import InputError
from training.model.catalogue import DatasetType

Fill = Callable[[bytes], bytes]

# How the parsers' error begins that is raised for such a value.
_NAN_REFUSED = re.compile(r"value of feature \d+ `[+-]?nan` is not a finite number", re.IGNORECASE)
_WORD = re.compile(rb"(?<=[ \t])(\d+):[+-]?nan(?=\s|#|$)", re.IGNORECASE)
_LINE = re.compile(rb"^[^#\n]*[ \t]\d+:[+-]?nan(?=\s|#|$)[^\n]*", re.IGNORECASE | re.MULTILINE)
_MOST_SHOWN = 4


def fill_missing_words(
    path: Path,
    missing: Missing,
    *,
    data_type: DatasetType,
    n_features: int | None,
    zero_based: bool,
    limit: int | None = None,
) -> Fill | None:
    """Return a function that replaces missing values in whole lines of a file; None to refuse them.

    Args:
        path: The file; for the mean it is read once.
        missing: What becomes of missing values.
        data_type: The type of its rows.
        n_features: The number of columns; None for as many as there are.
        zero_based: Whether feature indices start at 0.
        limit: Use only this many rows from the beginning.

    Raises:
        InputError: The file cannot be read or a line does not parse.
    """
    if missing == "refuse":
        return None
    if data_type == "cifar10":
        raise InputError(f"{path}: --missing {missing}: images have no missing values; leave it out")
    if missing == "zero":
        return lambda text: _WORD.sub(b"", _bare(text))
    if missing == "drop":
        return lambda text: _LINE.sub(b"", text)
    counts: Counter[int] = Counter()

    def count(text: bytes) -> bytes:
        text = _bare(text)
        counts.update(map(int, _WORD.findall(text)))
        return _WORD.sub(b"", text)

    rows, sums = 0, np.zeros(0)
    for block in read_rows(
        path, data_type=data_type, n_features=n_features, zero_based=zero_based, limit=limit, fill=count
    ):
        rows += block.rows
        added = np.asarray(block.x.sum(axis=0, dtype=np.float64)).ravel()
        sums = np.pad(sums, (0, max(0, len(added) - len(sums))))
        sums[: len(added)] += added
    first = 0 if zero_based else 1
    means = {
        index: sums[index - first] / max(1, rows - missed) if index - first < len(sums) else 0.0
        for index, missed in counts.items()
    }
    words = {index: f"{index}:{float(mean)!r}".encode() for index, mean in means.items()}
    return lambda text: _WORD.sub(lambda word: words[int(word[1])], _bare(text))


def _bare(text: bytes) -> bytes:
    """Return lines without their comments."""
    return re.sub(rb"#[^\n]*", b"", text) if b"#" in text else text


@contextmanager
def missing_words_counted(path: Path) -> Iterator[None]:
    """Make the error about one missing value in the block one about all of them.

    Raises:
        InputError: The block raised it.
    """
    try:
        yield
    except InputError as error:
        if _NAN_REFUSED.search(str(error)):
            _refuse(path)
        raise


def _refuse(path: Path) -> None:
    """Refuse a file with missing values, with their number by feature.

    Raises:
        InputError: It has some.
    """
    counts: Counter[int] = Counter()
    line, first_line, held = 1, 0, b""
    with CompressedFile(path) as file:
        for piece in text_pieces(file):
            text = held + piece
            end = text.rfind(b"\n") + 1
            text, held = _bare(text[:end]), text[end:]
            if not first_line and (word := _WORD.search(text)):
                first_line = line + text.count(b"\n", 0, word.start())
            counts.update(map(int, _WORD.findall(text)))
            line += text.count(b"\n")
    held = _bare(held)
    if not first_line and _WORD.search(held):
        first_line = line
    counts.update(map(int, _WORD.findall(held)))
    if not counts:
        return
    shown = ", ".join(f"feature {index} {rows:,}" for index, rows in counts.most_common(_MOST_SHOWN))
    more = f" and {len(counts) - _MOST_SHOWN} more features" if len(counts) > _MOST_SHOWN else ""
    raise InputError(
        f"{path}: missing values (nan): {shown}{more}; the first at line {first_line:,}\n"
        "--missing mean or --missing zero replaces them, --missing drop leaves their rows out"
    )
