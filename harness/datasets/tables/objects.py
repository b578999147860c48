"""Tables in S3: found in a bucket's folder, and copied to disk while they are partitioned."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.datasets.partitions import bucket_exists, is_partition_key
from harness.datasets.s3 import s3_errors
from harness.datasets.tables.forms import is_table_name, one_form
from harness.datasets.tables.spec import DEFAULT_OPTIONS, S3TableSpec, TableObject, TableOptions, TableSpec
from training.data.manifest import MANIFEST_KEY
from training.errors import InputError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def find_objects(s3: "S3Client", bucket: str, prefix: str, options: TableOptions) -> S3TableSpec | None:
    """Return the tables in a bucket's folder; None if it holds partitions, or nothing.

    Args:
        s3: The S3 client.
        bucket: The bucket.
        prefix: The folder, with a trailing `/`, or one object's key with a trailing `/`; empty for the top.
        options: What the tables' columns are for.

    Raises:
        InputError: S3 cannot be reached, or options of tables are given for partitions.
    """
    named = f"s3://{bucket}/{prefix}".rstrip("/")
    with s3_errors(f"listing {named}"):
        if not bucket_exists(s3, bucket):
            return None  # the error of missing partitions says so
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix.removesuffix("/"))
        found = {
            entry["Key"]: entry["ETag"]
            for page in pages
            for entry in page.get("Contents", [])
            if entry["Key"].startswith(prefix) or entry["Key"] == prefix.removesuffix("/")
        }
    inside = [key.removeprefix(prefix) for key in found]
    tables = [key for key in sorted(found) if is_table_name(key) and not key.rpartition("/")[2].startswith(("_", "."))]
    if MANIFEST_KEY in inside or any(map(is_partition_key, inside)) or not tables:
        if options.given:
            raise InputError(
                f"data `{named}`: {options.given[0]} is for tables, and this folder holds none\n"
                "partitions were made with their own options; leave it out"
            )
        return None
    return S3TableSpec(named, bucket, tuple(TableObject(key, found[key]) for key in tables), options)


def holds_tables(s3: "S3Client", bucket: str, prefix: str) -> bool:
    """Return whether a bucket's folder holds tables rather than partitions.

    Raises:
        InputError: S3 cannot be reached.
    """
    return find_objects(s3, bucket, prefix, DEFAULT_OPTIONS) is not None


@contextmanager
def on_disk(spec: S3TableSpec, s3: "S3Client", spill_dir: Path | None = None) -> Iterator[TableSpec]:
    """Copy the objects of a table to a temporary folder for the length of the block.

    Raises:
        InputError: S3 cannot be reached, or the objects have different forms.
    """
    with tempfile.TemporaryDirectory(dir=spill_dir) as folder:
        paths = []
        with s3_errors(f"reading {spec.name}"):
            for number, one in enumerate(spec.objects):
                path = Path(folder) / str(number) / one.key.rpartition("/")[2]
                path.parent.mkdir()
                s3.download_file(spec.bucket, one.key, str(path))
                paths.append(path)
        form = one_form(paths, spec.name)
        if form is None:
            raise InputError(f"data `{spec.name}`: {spec.objects[0].key} is no table")
        yield TableSpec(spec.name, tuple(paths), form, spec.options)
