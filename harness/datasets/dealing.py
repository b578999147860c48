"""Deal rows that were spilled to disk to partitions, and watch the disk for their temporary data."""

import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.datasets.ahead import Ahead
from harness.datasets.data_file import FILE_FORMATS
from harness.datasets.moments import Moments, RowSample
from harness.datasets.partition_format import PartitionFormat
from harness.datasets.partitions import Manifest, check_bucket
from harness.datasets.progress import Progress, part_of
from harness.datasets.spill import DealtRows, RowSpill
from training.data.dataset import Dataset
from training.errors import InputError
from training.model.catalogue import DatasetType

if TYPE_CHECKING:
    from functools import partial

    from mypy_boto3_s3 import S3Client

MOST_WORKERS = 1000

# The share of dealing, after reading, in the rest of the work.
_DEAL = 0.45
# The number of ordered blocks that may wait to be dealt.
_BLOCKS_AHEAD = 2


def deal(
    blocks: Generator[Dataset, None, None],
    describe: "partial[Manifest]",
    n_workers: int,
    put: Callable[..., Manifest],
    spill_dir: Path | None,
    progress: Progress | None,
    rows: int,
    valid_rows: int | None = None,
) -> Manifest:
    """Deal rows in their global order, and write the partitions.

    Args:
        blocks: The rows.
        describe: Makes the manifest from what dealing adds.
        n_workers: Number of partitions.
        put: Writes partitions with their manifest.
        spill_dir: Folder for temporary data; None for the system's.
        progress: Called while dealing and writing.
        rows: Number of rows.
        valid_rows: How many rows at the end of the order validate; None where the job's share of them decides.
    """
    dealing, uploading = part_of(progress, 0, _DEAL), part_of(progress, _DEAL, 1)
    sample = RowSample()
    with DealtRows(n_workers, spill_dir) as dealt, closing(Ahead(blocks, _BLOCKS_AHEAD)) as ordered:
        for block in ordered:
            dealt.deal(block)
            sample.take(block.x)
            if dealing:
                dealing(rows, sum(dealt.rows), rows)
        manifest = describe(
            rows=rows,
            features=dealt.width,
            non_zeros=dealt.non_zeros,
            n_partitions=n_workers,
            rows_per_partition=dealt.rows,
            sha256=dealt.sha256(),
            valid_rows_per_partition=None if valid_rows is None else _valid_rows(dealt.rows, rows - valid_rows),
            **_moments(sample, describe.keywords["data_type"]),
        )
        return put(dealt, manifest, progress=uploading)


def _valid_rows(rows_per_partition: list[int], training_rows: int) -> list[int]:
    """Return the number of rows of each partition that come after the training rows in the global order."""
    n = len(rows_per_partition)
    return [rows - len(range(rank, training_rows, n)) for rank, rows in enumerate(rows_per_partition)]


def _moments(sample: RowSample, data_type: DatasetType) -> dict[str, Moments]:
    if data_type == "cifar10":
        return {}
    moments = {"moments": sample.moments()}
    if data_type == "dense_libsvm":
        moments["standardised_moments"] = sample.standardised_moments()
    return moments


class Room:
    """Predict that the disk is too small for the temporary data before it is full.

    Attributes:
        progress: Called while reading; forwards the call.
    """

    def __init__(self, spill: RowSpill, directory: Path | None, progress: Progress | None) -> None:
        self._spill, self._directory, self._progress = spill, directory or Path(tempfile.gettempdir()), progress
        self._done, self._total = 1, 1
        self._next_check_rows = 1

    def progress(self, rows: int, done: int, total: int) -> None:
        """Note how much of the data has been read."""
        self._done, self._total = done, total
        if self._progress:
            self._progress(rows, done, total)

    def check(self) -> None:
        """Compare the free space with the space still needed, whenever the number of rows has doubled.

        The file is read ahead of the rows, so the estimate is too low at first and grows towards the true value.

        Raises:
            InputError: The free space is too small.
        """
        if self._spill.rows < self._next_check_rows:
            return
        self._next_check_rows = 2 * self._spill.rows
        spilled = int(self._spill.bytes_until()[-1])
        # Dealing the rows stores them a second time.
        needed = 2 * spilled * self._total // max(1, self._done) - spilled
        free = shutil.disk_usage(self._directory).free
        if needed > free:
            raise InputError(
                f"temporary data in {self._directory}: needs about {_mb(needed)} MB more, but {_mb(free)} MB are free\n"
                "choose a folder on a larger disk with --spill-dir or the variable TMPDIR"
            )


def _mb(size: int) -> str:
    return f"{max(1, size // 1_000_000):,}"


def check_target(n_workers: int, s3: "S3Client", bucket: str, data_type: DatasetType, form: PartitionFormat) -> None:
    """Check early where partitions go, and in which format.

    Raises:
        InputError: The number of partitions, the bucket or the format is not allowed.
    """
    if not 1 <= n_workers <= MOST_WORKERS:
        raise InputError(f"number of workers {n_workers}: it must be from 1 to {MOST_WORKERS}")
    allowed = ("npz", FILE_FORMATS[data_type].name)
    if form not in allowed:
        raise InputError(f"format {form}: partitions of {data_type} are {' or '.join(allowed)}")
    check_bucket(s3, bucket)


def check_size(source: str, rows: int, features: int, n_workers: int) -> None:
    """Refuse data that is too small to be partitioned.

    Raises:
        InputError: It has no rows, no features, or fewer rows than partitions.
    """
    if rows == 0 or features == 0:
        raise InputError(f"{source}: holds no {'features' if rows else 'rows'}")
    if rows < n_workers:
        raise InputError(f"{source}: {rows} rows are too few for {n_workers} partitions")


@contextmanager
def disk_errors(spill_dir: Path | None) -> Iterator[None]:
    """Translate errors of the disk for temporary data; errors of S3 and the input file are translated elsewhere."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"temporary data in {spill_dir or tempfile.gettempdir()}: {error.strerror or error}"
        ) from error
