"""Read Parquet files, some ten thousand rows at a time."""

from collections.abc import Iterator
from pathlib import Path

from harness.datasets.tables.source import RowPlace, TableBlock
from training.errors import InputError

# Rows are decoded in slices of about this size: others' row groups may have a million rows, and polars' own batches
# keep several of them in memory.
_SLICE_BYTES, _VALUE_BYTES = 32 << 20, 8
_FEWEST_ROWS = 20_000


class ParquetFile:
    """A Parquet file; the attributes are those of `TableSource`.

    Raises:
        InputError: The file cannot be read or is damaged.
    """

    def __init__(self, path: Path) -> None:
        import polars as pl  # noqa: PLC0415 - a third of a second, for tables alone

        self.name, self._path = str(path), path
        self.notes: list[str] = []
        try:
            self.bytes_total = path.stat().st_size
            self.columns = list(pl.read_parquet_schema(path))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise InputError(f"{self.name}: the Parquet file is damaged or cannot be read ({error})") from error

    def blocks(self) -> Iterator[TableBlock]:
        """Yield the rows; see `TableSource`."""
        import polars as pl  # noqa: PLC0415 - as above

        at_once = max(_FEWEST_ROWS, _SLICE_BYTES // (_VALUE_BYTES * max(1, len(self.columns))))
        try:
            scan = pl.scan_parquet(self._path, glob=False)
            total = int(scan.select(pl.len()).collect().item())
            for first in range(0, total, at_once):
                rows = scan.slice(first, at_once).collect()
                done = self.bytes_total * (first + rows.height) // total
                for start in range(0, rows.height, _FEWEST_ROWS):
                    yield TableBlock(rows[start : start + _FEWEST_ROWS], RowPlace(self.name, first + start), done)
        except pl.exceptions.PolarsError as error:
            raise InputError(f"{self.name}: the Parquet file is damaged or cannot be read ({error})") from error
