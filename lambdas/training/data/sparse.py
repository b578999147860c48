"""Sparse rows as a CSR matrix: row i has the values `data[indptr[i]:indptr[i + 1]]` in the columns `indices[...]`.

Columns are counted from 0 and ascend within a row, so each entry of the matrix is stored at most once.
This module imports scipy; import it for sparse rows only.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from training.errors import InputError

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.integer[Any]]


def csr_rows(data: FloatArray, indices: IntArray, indptr: IntArray, n_features: int) -> "csr_array[Any]":
    """Return the matrix of three valid arrays."""
    rows: csr_array[Any] = csr_array((data, indices, indptr), shape=(len(indptr) - 1, n_features))
    rows.has_canonical_format = True  # so that scipy does not check again whether columns ascend
    return rows


def check_csr(data: FloatArray, indices: IntArray, indptr: IntArray, *, n_features: int, source: str) -> None:
    """Check that three arrays form a matrix of finite numbers with `n_features` columns.

    Raises:
        InputError: They do not; the message names the row, counted from 1, and the column, counted from 0.
    """
    if len(data) != len(indices):
        raise InputError(f"{source}: array 'data' has {len(data)} numbers and array 'indices' has {len(indices)}")
    if len(indptr) == 0 or indptr[0] != 0 or indptr[-1] != len(data) or (np.diff(indptr) < 0).any():
        raise InputError(f"{source}: array 'indptr' must rise from 0 to {len(data)}, the numbers in 'data'")
    beyond = indices.astype(np.uint64) >= n_features  # as unsigned numbers, negative columns are large
    if beyond.any():
        place = int(beyond.argmax())
        raise InputError(
            f"{source} row {_row(indptr, place)}: column {indices[place]} is not one of 0 to {n_features - 1}, "
            f"the job's n_features {n_features}"
        )
    falls = np.zeros(len(indices) + 1, np.bool_)
    falls[1:-1] = indices[1:] <= indices[:-1]
    falls[indptr] = False  # a new row may begin with a lower column
    if falls.any():
        place = int(falls.argmax())
        raise InputError(
            f"{source} row {_row(indptr, place)}: column {indices[place]} comes after {indices[place - 1]}; "
            "columns must rise within a row"
        )
    if not (np.isfinite(data.min(initial=0)) and np.isfinite(data.max(initial=0))):
        place = int(np.isfinite(data).argmin())
        raise InputError(
            f"{source} row {_row(indptr, place)}: feature {indices[place] + 1} is {data[place]}, not a finite number"
        )


def _row(indptr: IntArray, place: int) -> int:
    """Return the row, counted from 1, of the value at this place."""
    return int(np.searchsorted(indptr, place, side="right"))
