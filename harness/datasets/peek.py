"""Look at the beginning of a LIBSVM file: how wide and how full its rows are, and what its labels are for."""

from contextlib import closing
from dataclasses import dataclass

import numpy as np

from harness.datasets.compressed import CompressedFile
from harness.datasets.data_file import with_base
from harness.datasets.libsvm import MOST_FEATURES, MOST_SPARSE_FEATURES
from harness.datasets.specs import FileSpec
from harness.datasets.text import text_pieces
from training.data.libsvm import ParsedLines, is_text, parse_lines
from training.errors import InputError
from training.job_fields import ZeroBased

# The bytes of text that are looked at.
_PEEK_BYTES = 256 << 10
# Rows with more columns than this, of which fewer than this share are not zero, are sparse.
_WIDE, _SPARSE = 1_000, 0.1
# More labels than this that are not whole numbers are targets of a regression.
_MOST_FRACTIONS = 20


@dataclass(frozen=True)
class Peek:
    """The beginning of a file.

    Attributes:
        sparse: Whether its rows would waste memory as dense rows.
        targets: Whether its labels are measurements rather than classes.
    """

    sparse: bool
    targets: bool


def peek(spec: FileSpec, zero_based: ZeroBased = "auto") -> Peek | None:
    """Return what the first rows of a file show; None where it is not LIBSVM text: whoever reads it says why.

    Args:
        spec: The file.
        zero_based: Whether its feature indices start at 0.
    """
    try:
        with CompressedFile(spec.path) as file, closing(text_pieces(file)) as pieces:
            text = next(pieces, b"")[:_PEEK_BYTES]
        lines = text[: text.rfind(b"\n") + 1] or text
        if not lines.strip() or not is_text(lines):
            return None
        return _of(with_base(zero_based, lambda base: _parsed(lines, spec.name, zero_based=base)))
    except InputError:
        return None


def _parsed(text: bytes, name: str, *, zero_based: bool) -> ParsedLines:
    return parse_lines(text, source=name, first_line=1, n_features=MOST_SPARSE_FEATURES, zero_based=zero_based)


def _of(rows: ParsedLines) -> Peek | None:
    if not len(rows.labels):
        return None
    width = int(rows.index.max(initial=1))
    share = int(np.count_nonzero(rows.value)) / (width * len(rows.labels))
    labels = np.unique(rows.labels)
    fractions = bool((labels != np.round(labels)).any())
    return Peek(
        sparse=width > MOST_FEATURES or (width > _WIDE and share < _SPARSE),
        targets=fractions and len(labels) > _MOST_FRACTIONS,
    )
