"""Some rows of a data set, in memory: what a model is checked on."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.datasets.data_file import read_rows, with_base
from harness.datasets.image_folder import ImageFolderSpec, labelled_blocks, list_images
from harness.datasets.loading import load_arrays
from harness.datasets.specs import BucketSpec, FileSpec, parse_data_spec
from harness.datasets.tables.encoder import Encoder
from harness.datasets.tables.opening import is_typed
from harness.datasets.tables.partition_table import profile_table
from harness.datasets.tables.spec import DEFAULT_OPTIONS, S3TableSpec, TableOptions, TableSpec
from harness.errors import HarnessError
from harness.runs.choices import fill_missing
from training.data.dataset import Dataset
from training.errors import InputError

# Of these rows of a set, as many as a check takes are drawn.
_READ = 2000


class SampleRows(NamedTuple):
    """Rows of a data set.

    Attributes:
        x: float32 (rows, features), standardised; uint8 for images.
        y: Their classes from 0, int64, or float32 targets.
        facts: Those that follow from the set: its columns, classes and type.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    facts: Mapping[str, Any]


def sample_rows(
    text: str,
    rows: int,
    options: TableOptions = DEFAULT_OPTIONS,
    *,
    regression: bool,
    missing_is_ours: bool = False,
) -> SampleRows:
    """Return some rows of a data set.

    Args:
        text: As in `--data`.
        rows: The number of rows; fewer if the set has fewer.
        options: What the columns of a table are for.
        regression: Whether labels are targets.
        missing_is_ours: Whether the user says nothing about missing values of tables, so that they are those of a run.

    Raises:
        InputError: The text is not understood, or the data is wrong.
        HarnessError: The data is not on this machine.
    """
    spec = parse_data_spec(text, options.for_task("regression" if regression else None))
    data_type, n_classes = spec.data_type or "dense_libsvm", 2
    if isinstance(spec, TableSpec):
        dataset = _of_table(fill_missing(spec) if missing_is_ours else spec, regression=regression)
    elif isinstance(spec, FileSpec):

        def read(from_0: bool) -> Dataset:  # noqa: FBT001 - as `with_base` calls it
            return next(iter(read_rows(spec.path, data_type=data_type, zero_based=from_0, limit=_READ)))

        dataset = with_base("auto", read)
    elif isinstance(spec, BucketSpec | S3TableSpec):
        raise HarnessError(f"{text} is not on this machine", remedy="name a file, or check without --data")
    elif isinstance(spec, ImageFolderSpec):
        dataset, n_classes = _of_images(spec, rows)
    else:
        dataset = load_arrays(spec, 0)
    chosen = np.random.default_rng(0).permutation(len(dataset.y))[:rows]
    x, labels = dataset.x[chosen], dataset.y[chosen]
    x = x if isinstance(x, np.ndarray) else x.toarray()
    if x.dtype == np.float32 and len(x):
        spread = x.std(axis=0)
        x = ((x - x.mean(axis=0)) / np.where(spread > 0, spread, 1)).astype(np.float32)
    facts = {"n_features": x.shape[1], "dataset_type": data_type, "dataset": text}
    if regression:
        return SampleRows(x, labels.astype(np.float32), {**facts, "n_classes": 1})
    known = np.arange(n_classes) if isinstance(spec, ImageFolderSpec) else np.unique(dataset.y)
    return SampleRows(
        x, np.searchsorted(known, labels).astype(np.int64), {**facts, "n_classes": max(n_classes, len(known))}
    )


def _of_images(spec: ImageFolderSpec, rows: int) -> tuple[Dataset, int]:
    """Return some images of a folder, and the number of its classes."""
    listing = list_images(spec.path)
    classes = listing.classes(spec.name)
    chosen = np.random.default_rng(0).permutation(len(listing.files))[:rows]
    listing = replace(listing, files=[listing.files[index] for index in chosen.tolist()])
    blocks = list(labelled_blocks(listing, classes))
    x, y = np.concatenate([block.x for block in blocks]), np.concatenate([block.y for block in blocks])
    return Dataset(x, y), len(classes)


def _of_table(spec: TableSpec, *, regression: bool) -> Dataset:
    found = profile_table(spec, limit=_READ)
    if found.plan.schema.task == "regression" and not regression:
        raise InputError(f"{spec.name} has targets, not classes; give --loss squared, huber or poisson")
    encoder = Encoder(found.plan.schema, typed=is_typed(spec), label=found.label)
    for block in found.table.blocks():
        dataset, _ = encoder.encode(block)
        return Dataset(dataset.x[:_READ], dataset.y[:_READ])
    raise InputError(f"{spec.name} holds no rows")
