"""Open the files of a table."""

from functools import partial
from typing import TYPE_CHECKING

from harness.datasets.tables.source import Table
from harness.datasets.tables.spec import TableSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.datasets.tables.source import TableSource


def open_table(spec: TableSpec, *, drop: bool = True) -> Table:
    """Open the files of a table, and read the names of their columns.

    Args:
        spec: The table.
        drop: Whether to leave out the columns that its options name; a schema knows them already.

    Raises:
        InputError: A file cannot be read, the files have different columns, or a column to leave out does not exist.
    """
    from harness.datasets.tables.arrays import NumpyFile  # noqa: PLC0415 - each form needs its own
    from harness.datasets.tables.parquet import ParquetFile  # noqa: PLC0415 - as above
    from harness.datasets.tables.separated import SeparatedFile  # noqa: PLC0415 - as above

    openers: dict[str, Callable[[Path], TableSource]] = {
        "csv": partial(SeparatedFile, options=spec.options),
        "parquet": ParquetFile,
        "npy": NumpyFile,
        "npz": NumpyFile,
    }
    return Table(spec.name, [openers[spec.form](path) for path in spec.paths], spec.options.drop if drop else ())


def is_typed(spec: TableSpec) -> bool:
    """Return whether the format has types of its own, so that text in it is text."""
    return spec.form == "parquet"
