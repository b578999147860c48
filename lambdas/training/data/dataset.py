"""A worker's rows: features and labels from the bytes of a partition object.

    dataset_type     x                                npz holds                       or
    dense_libsvm     float32 (rows, features)         x, y                            LIBSVM text
    sparse_libsvm    scipy's CSR, float32             data, indices, indptr, y        LIBSVM text
    cifar10          uint8 (rows, 3072)               x, y                            CIFAR-10's binary format

Labels `y` are float32 (rows,).
The first bytes distinguish an npz from the other formats.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.data import npz
from training.data.cifar10 import IMAGE_BYTES, split_records
from training.data.labels import format_label, format_labels
from training.data.libsvm import is_text, parse_dense, parse_sparse
from training.errors import InputError
from training.model.base import Rows
from training.model.catalogue import DatasetType

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Dataset:
    """Rows of features with their labels.

    Attributes:
        x: (rows, features), finite: float32, C-contiguous and possibly read-only; or CSR of float32 with ascending
            columns in each row; or uint8.
        y: float32 (rows,), finite: the labels as the data has them.
    """

    x: Rows
    y: FloatArray

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.y)


def decode_partition(
    body: bytes | memoryview,
    *,
    source: str,
    n_features: int,
    data_type: DatasetType = "dense_libsvm",
    zero_based: bool = False,
) -> Dataset:
    """Return the rows in the bytes of a partition object.

    Args:
        body: The object's bytes.
        source: The name of the object in errors: `bucket/key`.
        n_features: Columns of the job; missing columns are filled with zeros.
        data_type: The job's `dataset_type`.
        zero_based: Whether indices of text start at 0.

    Raises:
        InputError: The bytes are not a partition of such a job; the message names the row or line.
    """
    if data_type == "cifar10" and n_features != IMAGE_BYTES:
        raise InputError(f"{source}: images have {IMAGE_BYTES} features; the job says n_features {n_features}")
    if bytes(body[: len(npz.MAGIC)]) == npz.MAGIC:
        _, dataset = decode_npz(body, source=source, n_features=n_features, data_type=data_type)
        return _checked_rows(dataset, source)
    body = bytes(body)  # no copy when they are bytes already
    if data_type == "cifar10":
        dataset = Dataset(*split_records(body, source=source))
    else:
        if not is_text(body):
            raise InputError(
                f"{source}: holds neither an npz nor LIBSVM text; "
                "the dataset_type of CIFAR-10's binary format is cifar10"
            )
        parse = parse_dense if data_type == "dense_libsvm" else parse_sparse
        dataset = Dataset(*parse(body, source=source, n_features=n_features, zero_based=zero_based))
    return _checked_rows(dataset, source)


def _checked_rows(dataset: Dataset, source: str) -> Dataset:
    if dataset.rows == 0:
        raise InputError(f"{source}: the partition holds no rows")
    return dataset


def decode_npz(
    body: bytes | memoryview, *, source: str, n_features: int | None = None, data_type: DatasetType | None = None
) -> tuple[DatasetType, Dataset]:
    """Read an `.npz`; the type of its data follows from its arrays.

    Args:
        body: Its bytes.
        source: The name of the file in errors.
        n_features: Columns that it must have; None for any number.
        data_type: The type that it must have; None for any.

    Raises:
        InputError: The bytes are not such an npz; the message names the row.
    """
    arrays = npz.Npz(body, source)
    y: FloatArray = arrays.array("y", ("float32",), 1)
    _check_finite(y[:, np.newaxis], f"{source} row", "label")
    if "indptr" in arrays.names:
        found: DatasetType = "sparse_libsvm"
        _check_type(found, data_type, source)
        x = _read_csr(arrays, n_features, source)
    else:
        x = arrays.array("x", ("float32", "uint8"), 2)
        found = "cifar10" if x.dtype == np.uint8 else "dense_libsvm"
        _check_type(found, data_type, source)
        missing = 0 if n_features is None else n_features - x.shape[1]
        if missing < 0 or (missing and found == "cifar10"):
            raise InputError(
                f"{source}: rows have {x.shape[1]} features; the job says n_features {n_features}\n"
                f"set n_features to {x.shape[1]}" + (" or more" if found == "dense_libsvm" else "")
            )
        if found == "dense_libsvm":
            _check_finite(x, f"{source} row", "feature")
        if missing:
            x = np.pad(x, ((0, 0), (0, missing)))
    if x.shape[0] != len(y):
        raise InputError(f"{source}: there are {x.shape[0]} rows of features and array 'y' has {len(y)}")
    return found, Dataset(x, y)


def distinct_labels(y: FloatArray) -> list[float]:
    """Return the labels of some rows, ascending."""
    labels: list[float] = (np.unique(y) + np.float32(0)).tolist()  # -0 and 0 are one label
    return labels


def to_classes(y: FloatArray, labels: Sequence[float], source: str, first_row: int = 0) -> npt.NDArray[np.int64]:
    """Return the class of each row, numbered from 0.

    Args:
        y: The rows' labels.
        labels: The label of each class, ascending.
        source: The name of the data in errors.
        first_row: The number of rows of the data before these.

    Raises:
        InputError: A label is not in the list; the message names the first such row, counted from 1.
    """
    known = np.asarray(labels, np.float32)
    classes = np.minimum(np.searchsorted(known, y), len(known) - 1)
    wrong = known[classes] != y
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{source} row {first_row + row + 1}: label {format_label(float(y[row]))} is none of the data's labels: "
            f"{format_labels(labels)}"
        )
    return classes


def _check_type(found: DatasetType, wanted: DatasetType | None, source: str) -> None:
    if wanted not in {None, found}:
        raise InputError(
            f"{source}: the npz holds the arrays of dataset_type={found}; the job says dataset_type={wanted}"
        )


def _read_csr(arrays: npz.Npz, n_features: int | None, source: str) -> Rows:
    from training.data.sparse import check_csr, csr_rows  # noqa: PLC0415 - only sparse rows need scipy

    data = arrays.array("data", ("float32",), 1)
    indices = arrays.array("indices", ("int32",), 1)
    indptr = arrays.array("indptr", ("int64", "int32"), 1)
    width = int(indices.max(initial=0)) + 1 if n_features is None else n_features
    check_csr(data, indices, indptr, n_features=width, source=source)
    return csr_rows(data, indices, indptr, width)


def _check_finite(columns: FloatArray, where: str, what: str) -> None:
    # NaN and infinity show in one of the extremes, which need no temporary array.
    if columns.size == 0 or (np.isfinite(columns.min()) and np.isfinite(columns.max())):
        return
    row, column = np.argwhere(~np.isfinite(columns))[0].tolist()
    name = f"{what} {column + 1}" if columns.shape[1] > 1 else what
    raise InputError(f"{where} {row + 1}: {name} is {columns[row, column]}, not a finite number")
