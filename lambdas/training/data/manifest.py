"""What the coordinator and the workers need of the manifest beside a set of partitions.

The partitioner writes it (`fixtures.partitions` has the whole record); partitions that others made have none.
"""

import hashlib

import msgspec

from training.errors import InputError

MANIFEST_KEY = "manifest.json"


class LabelCount(msgspec.Struct, frozen=True):
    """How many rows have a label."""

    label: int | float
    rows: int


class Partition(msgspec.Struct, frozen=True):
    """What one partition object is.

    Attributes:
        rows: Its rows.
        md5: Digest of its bytes, in hexadecimal: S3's ETag of an object that was put in one piece.
    """

    rows: int
    md5: str

    def check(self, body: bytes | memoryview, etag: str, source: str) -> None:
        """Refuse an object that is not the one that was put there.

        S3 derives the ETag from the content, so that the usual object costs no digest of its own.
        Where the ETag is another kind of digest (parts, encryption by KMS), the bytes decide.

        Args:
            body: The object's bytes.
            etag: What S3 gave with them.
            source: The object's address.

        Raises:
            InputError: It is another one.
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
    """A manifest, as far as training goes by it.

    Attributes:
        n_partitions: Number of partitions.
        rows_per_partition: Rows of each.
        md5_per_partition: Digest of each object; none in the manifests of earlier versions.
        labels: All labels, ascending; None for too many to be classes.
        zero_based: Whether the source's feature indices start at 0.
    """

    n_partitions: int
    rows_per_partition: list[int]
    md5_per_partition: list[str] = []
    labels: list[LabelCount] | None = None
    zero_based: bool = False

    def partition(self, rank: int) -> Partition | None:
        """Return what the partition of a rank is; None where the manifest does not say."""
        if rank >= len(self.md5_per_partition):
            return None
        return Partition(self.rows_per_partition[rank], self.md5_per_partition[rank])


def decode_manifest(body: bytes, source: str) -> PartitionSet | None:
    """Read a manifest; None for another program's object of that name, which says nothing of partitions.

    Raises:
        InputError: It is no JSON, or a damaged manifest.
    """
    try:
        found = msgspec.json.decode(body)
        if isinstance(found, dict) and "n_partitions" not in found:
            return None
        return msgspec.convert(found, PartitionSet)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InputError(
            f"{source} is not a manifest of partitions ({error})\n"
            "partition the data again, or delete it if it is of something else"
        ) from error
