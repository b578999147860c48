"""Read NumPy's `.npy` and `.npz` files as tables, a few thousand rows at a time.

.npy    2-D                a column per column, named 0, 1, ...
        1-D, structured    a column per field
.npz    x and y            X or data, and target or label(s), are other names; y becomes the last column, `y`
"""

import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.datasets.tables.source import RowPlace, TableBlock
from training.errors import InputError

if TYPE_CHECKING:
    import polars as pl

_FEATURES, _LABELS = ("x", "X", "data"), ("y", "target", "labels", "label")
_BLOCK_BYTES = 8 << 20
_KINDS = "biufSU"
# As many columns as a job has features.
_MOST_COLUMNS = 10_000_000
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, SyntaxError, TypeError, tokenize.TokenError)


class NumpyFile:
    """An `.npy` or `.npz` file; the attributes are those of `TableSource`.

    Raises:
        InputError: The file cannot be read, or its arrays are no table.
    """

    def __init__(self, path: Path) -> None:
        self.name, self._path = str(path), path
        self.notes: list[str] = []
        with self._damage():
            self.bytes_total = path.stat().st_size
            with ExitStack() as held:
                arrays = self._open(held)
                self.columns = [name for array in arrays for name in array.columns]
        self._rows = arrays[0].shape[0]

    def blocks(self) -> Iterator[TableBlock]:
        """Yield the rows; see `TableSource`."""
        import polars as pl  # noqa: PLC0415 - a third of a second, for tables alone

        with self._damage(), ExitStack() as held:
            arrays = self._open(held)
            at_once = max(1, min(_BLOCK_BYTES // max(1, array.row_bytes) for array in arrays))
            for first in range(0, self._rows, at_once):
                count = min(at_once, self._rows - first)
                frame = pl.concat([array.frame(count) for array in arrays], how="horizontal")
                done = self.bytes_total * (first + count) // self._rows
                yield TableBlock(frame, RowPlace(self.name, first), done)

    @contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except _DAMAGE as error:
            raise InputError(f"{self.name}: the file is damaged or cannot be read ({error})") from error

    def _open(self, held: ExitStack) -> "list[_Array]":
        file = held.enter_context(self._path.open("rb"))
        if not zipfile.is_zipfile(file):
            file.seek(0)
            return [_Array(file, self.name, "")]
        archive = held.enter_context(zipfile.ZipFile(file))
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        x, y = (next((name for name in known if name in names), None) for known in (_FEATURES, _LABELS))
        if x is None:
            raise InputError(
                f"{self.name}: holds the arrays {', '.join(names)}, and no features\n"
                f"name them {' or '.join(_FEATURES)}, and the labels {' or '.join(_LABELS)}"
            )
        chosen = [name for name in (x, y) if name is not None]
        if others := [name for name in names if name not in chosen]:
            self.notes = [f"{self.name}: arrays that are neither features nor labels are left out: {', '.join(others)}"]
        arrays = [
            _Array(
                held.enter_context(archive.open(f"{name}.npy")),
                f"{self.name}: array `{name}`",
                "y" if name == y else "",
            )
            for name in chosen
        ]
        if len({array.shape[0] for array in arrays}) > 1:
            raise InputError(f"{self.name}: `{x}` has {arrays[0].shape[0]:,} rows, `{y}` has {arrays[1].shape[0]:,}")
        return arrays


class _Array:
    """The array at the beginning of a stream.

    Attributes:
        shape: Its shape.
        columns: The names of its columns.
        row_bytes: The size of a row.
    """

    def __init__(self, stream: IO[bytes], name: str, only: str) -> None:
        """Read the header.

        Args:
            stream: The `.npy`.
            name: Its name in errors.
            only: The name of its only column; empty for features.

        Raises:
            InputError: It is no table.
        """
        self._stream = stream
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
        if any(size < 0 for size in shape):
            raise InputError(f"{name}: the file is damaged: its header has the shape {shape}")
        if len(shape) > 1 and shape[1] > _MOST_COLUMNS:
            raise InputError(f"{name}: has {shape[1]:,} columns\na table has at most {_MOST_COLUMNS:,}")
        if not only and len(shape) == 1 and dtype.names:
            shape, self.columns = (*shape, 1), list(dtype.names)
            kinds = [dtype[field].kind for field in dtype.names]
        else:
            kinds = [dtype.kind]
            shape = (*shape, 1) if len(shape) == 1 and only else shape
            self.columns = [only] if only else [str(number) for number in range(shape[-1] if shape else 0)]
        if len(shape) != 2 or (only and shape[1] != 1):
            wanted = "(rows,)" if only else "(rows, columns), or structured (rows,)"
            raise InputError(f"{name}: has shape {shape}; it must be {wanted}")
        if any(kind not in _KINDS for kind in kinds):
            raise InputError(
                f"{name}: is of type {dtype}; it must hold numbers, false and true, or text\n"
                "objects are pickled, and nothing is unpickled; save them as numbers or text"
            )
        if fortran and shape[1] > 1:
            raise InputError(
                f"{name}: is stored column by column (Fortran order)\nsave numpy.ascontiguousarray(x) instead"
            )
        self.shape, self._dtype = shape, dtype
        self.row_bytes = dtype.itemsize * math.prod(shape[1:])

    def frame(self, rows: int) -> "pl.DataFrame":
        """Return the next rows."""
        import polars as pl  # noqa: PLC0415 - as above

        body = self._stream.read(rows * self.row_bytes)
        if len(body) < rows * self.row_bytes:
            raise EOFError("it is cut off")
        table = np.frombuffer(body, self._dtype).reshape(rows, -1)
        if self._dtype.names:
            return pl.DataFrame({name: _native(table[name][:, 0]) for name in self._dtype.names})
        return pl.DataFrame({name: _native(table[:, at]) for at, name in enumerate(self.columns)})


def _native(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array that polars takes: in the machine's order of bytes, and text as Unicode."""
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8")
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype.kind == "f" and array.dtype.itemsize > np.dtype(np.float64).itemsize:
        return array.astype(np.float64)
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))
