"""The data of a run: from `--data` to partitions in a bucket, made only when they are not there yet."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Data:
    """Partitions that lie in a bucket.

    Attributes:
        bucket: The bucket.
        name: What the data is called.
        n_features: Its columns.
        n_classes: Its classes.
    """

    bucket: str
    name: str
    n_features: int
    n_classes: int
