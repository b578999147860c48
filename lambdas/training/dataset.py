"""A worker's rows: one partition object's bytes become two arrays.

A partition is an `.npz` with the float32 arrays `x` (rows, features) and `y` (rows,), or dense LIBSVM text.
The first bytes tell which.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training import npz
from training.errors import InputError
from training.libsvm import parse_libsvm

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Dataset:
    """Rows of features with their labels.

    Attributes:
        x: float32 (rows, features), C-contiguous, finite; possibly read-only.
        y: float32 (rows,), finite: the labels as the data has them.
    """

    x: FloatArray
    y: FloatArray

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.y)


def decode_partition(body: bytes | memoryview, *, source: str, n_features: int) -> Dataset:
    """Turns the bytes of a partition object into rows.

    Args:
        body: The object's bytes.
        source: What errors call it: `bucket/key`.
        n_features: Columns of the job.

    Raises:
        InputError: The bytes are no partition of a job with `n_features` columns; row or line is named.
    """
    body = bytes(body)  # no copy when they are bytes already
    if body.startswith(npz.MAGIC):
        dataset = _decode_npz(body, source, n_features)
    else:
        dataset = Dataset(*parse_libsvm(body, source=source, n_features=n_features))
    if dataset.rows == 0:
        raise InputError(f"{source}: the partition holds no rows")
    return dataset


def split(dataset: Dataset, valid_ratio: float) -> tuple[Dataset, Dataset]:
    """Splits into training and validation rows; the last `int(valid_ratio * rows)` rows are validation."""
    n_train = dataset.rows - int(valid_ratio * dataset.rows)
    return (
        Dataset(dataset.x[:n_train], dataset.y[:n_train]),
        Dataset(dataset.x[n_train:], dataset.y[n_train:]),
    )


def labels_to_classes(y: FloatArray, n_classes: int, source: str) -> npt.NDArray[np.int64]:
    """Numbers the classes 0 to n_classes - 1.

    Two classes may be labelled 0 and 1 or -1 and +1; more are labelled 0 to n_classes - 1.
    Labels from 1 to n_classes are refused: a rank that happens to hold no row of the last class could not
    tell them from labels that start at 0, and would train on other classes than its peers.

    Args:
        y: The labels.
        n_classes: How many classes the job has.
        source: What errors call the data.

    Raises:
        InputError: A label is none of these; the first such row is named, rows counted from 1.
    """
    signed = n_classes == 2 and bool((y == -1).any())
    right = (y == -1) | (y == 1) if signed else (y >= 0) & (y < n_classes) & (y == np.rint(y))
    if not right.all():
        row = int(np.flatnonzero(~right)[0])
        allowed = _allowed_labels(n_classes, signed=signed)
        raise InputError(f"{source} row {row + 1}: label {y[row]:g} is not {allowed}")
    classes = y.astype(np.int64)
    return (classes + 1) // 2 if signed else classes


def _allowed_labels(n_classes: int, *, signed: bool) -> str:
    if signed:
        return "-1 or 1, as other rows of two classes are"
    if n_classes == 2:
        return "0 or 1 (or -1 or 1); two classes are labelled so"
    return f"0 to {n_classes - 1}; {n_classes} classes are numbered from 0"


def _decode_npz(body: bytes, source: str, n_features: int) -> Dataset:
    arrays = npz.read_float32(body, source=source, dimensions={"x": 2, "y": 1})
    x, y = arrays["x"], arrays["y"]
    if len(x) != len(y):
        raise InputError(f"{source}: array 'x' has {len(x)} rows and array 'y' has {len(y)}")
    if x.shape[1] != n_features:
        raise InputError(f"{source}: rows have {x.shape[1]} features; the job says n_features {n_features}")
    _check_finite(x, f"{source} row", "feature")
    _check_finite(y[:, np.newaxis], f"{source} row", "label")
    return Dataset(x, y)


def _check_finite(columns: FloatArray, where: str, what: str) -> None:
    # The extremes tell at once and without a temporary array: NaN and infinity show in one of them.
    if columns.size == 0 or (np.isfinite(columns.min()) and np.isfinite(columns.max())):
        return
    row, column = np.argwhere(~np.isfinite(columns))[0].tolist()
    name = f"{what} {column + 1}" if columns.shape[1] > 1 else what
    raise InputError(f"{where} {row + 1}: {name} is {columns[row, column]}, not a finite number")
