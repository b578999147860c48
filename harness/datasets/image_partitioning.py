"""Partition a folder of images: decoded, resized and shuffled in bounded memory, whatever its size."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.datasets.dealing import Room, check_size, check_target, deal, disk_errors
from harness.datasets.image_folder import ImageFolderSpec, labelled_blocks, list_images, schema_of
from harness.datasets.label_counts import LabelCounter
from harness.datasets.partitions import Manifest, publish
from harness.datasets.progress import Progress, part_of
from harness.datasets.shuffle import RowKeys
from harness.datasets.spill import RowSpill
from training.data.schema import Schema
from training.errors import InputError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The share of decoding in the work.
_READ = 0.95


def partition_images(  # noqa: PLR0913 - keywords only, as partition_file
    spec: ImageFolderSpec,
    *,
    n_workers: int,
    s3: "S3Client",
    bucket: str,
    seed: int = 0,
    progress: Progress | None = None,
    spill_dir: Path | None = None,
    prefix: str = "",
    schema: Schema | None = None,
) -> Manifest:
    """Partition the images of a folder, whose subfolders are the classes.

    Args:
        spec: The folder.
        n_workers: Number of partitions.
        s3: The S3 client.
        bucket: The bucket; created if missing.
        seed: Determines the order of the images, together with the data.
        progress: Called through all stages.
        spill_dir: Folder for temporary data, about 6 kB per image; by default the system's.
        prefix: The folder in the bucket, with a trailing `/`; empty for the top.
        schema: The schema of other images, such as those of a training, whose classes these must have.

    Raises:
        InputError: A file is no image, the folder is not divided into classes, or S3 is wrong; nothing is left in the
            bucket.
    """
    check_target(n_workers, s3, bucket, "cifar10", "npz")
    listing = list_images(spec.path)
    classes = listing.classes(spec.name) if schema is None else _classes_of(schema, listing.folders, spec.name)
    labels, reading = LabelCounter(), part_of(progress, 0, _READ)
    with disk_errors(spill_dir), RowSpill(spill_dir) as spill:
        keys, room = RowKeys(seed), Room(spill, spill_dir, reading)
        for block in labelled_blocks(listing, classes):
            labels.count(block.y)
            spill.append(keys.draw(block.rows), block)
            room.progress(spill.rows, spill.rows, len(listing.files))
            room.check()
        check_size(spec.name, spill.rows, spill.width, n_workers)
        describe = partial(
            Manifest,
            source=spec.path.name,
            synthetic=False,
            data_type="cifar10",
            format="npz",
            labels=labels.counts,
            schema=schema_of(classes),
            notes=listing.notes,
            seed=seed,
            skew=None,
        )
        put = partial(publish, s3=s3, bucket=bucket, prefix=prefix, spill_dir=spill_dir)
        return deal(spill.in_key_order(), describe, n_workers, put, spill_dir, part_of(progress, _READ, 1), spill.rows)


def _classes_of(schema: Schema, folders: list[str], name: str) -> list[str]:
    """Return the classes of a schema.

    Raises:
        InputError: The folder has another class, or the schema is none of images.
    """
    if schema.image is None or schema.classes is None:
        raise InputError(f"data `{name}`: holds images, and the training data is a table")
    known = list(map(str, schema.classes))
    other = next((folder for folder in folders if folder not in known), None)
    if other is not None:
        raise InputError(
            f"data `{name}`: the subfolder {other} is none of the training data's classes: {', '.join(known)}"
        )
    return known
