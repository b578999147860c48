"""The manifest beside a set of partitions, as far as the coordinator and the workers read it.

The partitioner writes it, with further keys; partitions of other programs have none.
"""

import hashlib

import msgspec

from training.data.schema import Schema
from training.errors import InputError

MANIFEST_KEY = "manifest.json"


class LabelCount(msgspec.Struct, frozen=True):
    """The number of rows with one label."""

    label: int | float
    rows: int


class Partition(msgspec.Struct, frozen=True, omit_defaults=True):
    """One partition object.

    Attributes:
        rows: Number of rows.
        md5: Digest of its bytes, in hexadecimal; S3's ETag of an object that was stored in one request.
        valid_rows: The number of rows at its end that validate; None where the job's `valid_ratio` decides.
    """

    rows: int
    md5: str
    valid_rows: int | None = None

    def training_rows(self, rows: int, valid_ratio: float) -> int:
        """Return the number of rows at the beginning of the partition that train."""
        valid_rows = int(valid_ratio * rows) if self.valid_rows is None else self.valid_rows
        return rows - valid_rows

    def check(self, body: bytes | memoryview, etag: str, source: str) -> None:
        """Refuse an object that differs from the one in the manifest.

        S3 derives the ETag from the content, so most objects need no further digest.
        Where the ETag is another kind of digest (multipart upload, encryption by KMS), the bytes decide.

        Args:
            body: The object's bytes.
            etag: The ETag that S3 returned with them.
            source: The object's address.

        Raises:
            InputError: The object differs.
        """
        if etag.strip('"') == self.md5:
            return
        found = hashlib.md5(body, usedforsecurity=False).hexdigest()
        if found != self.md5:
            raise InputError(
                f"{source} is not the partition that the manifest beside it describes: "
                f"found {len(body):,} bytes with md5 {found}, expected {self.rows:,} rows with md5 {self.md5}\n"
                f"partition the data again; if the change is meant, delete {MANIFEST_KEY} beside it"
            )


class PartitionSet(msgspec.Struct, frozen=True):
    """The part of a manifest that training reads.

    Attributes:
        n_partitions: Number of partitions.
        rows_per_partition: Rows of each.
        md5_per_partition: Digest of each object; manifests of earlier versions have none.
        labels: All labels, ascending; None if there are too many to be classes.
        zero_based: Whether the source's feature indices start at 0.
        valid_rows_per_partition: The number of rows at the end of each partition that validate; None where the job's
            share of them decides.
        schema: The source's columns and the user's labels; None for data without columns.
    """

    n_partitions: int
    rows_per_partition: list[int]
    md5_per_partition: list[str] = []
    labels: list[LabelCount] | None = None
    zero_based: bool = False
    valid_rows_per_partition: list[int] | None = None
    schema: Schema | None = None

    def partition(self, rank: int) -> Partition | None:
        """Return the partition of a rank; None if the manifest does not describe it."""
        if rank >= len(self.md5_per_partition):
            return None
        valid_rows = None if self.valid_rows_per_partition is None else self.valid_rows_per_partition[rank]
        return Partition(self.rows_per_partition[rank], self.md5_per_partition[rank], valid_rows)


def decode_manifest(body: bytes, source: str) -> PartitionSet | None:
    """Read a manifest; return None for another program's object of that name.

    Raises:
        InputError: The object is not JSON, or is a damaged manifest.
    """
    try:
        found = msgspec.json.decode(body)
        if isinstance(found, dict) and "n_partitions" not in found:
            return None
        return msgspec.convert(found, PartitionSet)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InputError(
            f"{source} is not a manifest of partitions ({error})\n"
            "partition the data again, or delete the object if it belongs to something else"
        ) from error
