"""Predictions for any value of `--data`: tables by their columns, images by their pixels, other rows by position."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.datasets.image_folder import ImageFolderSpec, is_image_name
from harness.datasets.loading import load_arrays
from harness.datasets.specs import BucketSpec, FileSpec, parse_data_spec
from harness.datasets.tables.encoder import Encoder
from harness.datasets.tables.objects import find_objects, on_disk
from harness.datasets.tables.opening import is_typed, open_table
from harness.datasets.tables.spec import DEFAULT_OPTIONS, S3TableSpec, TableOptions, TableSpec
from harness.runs.predict import Detail, Prediction, predict_file, predict_rows
from harness.runs.prediction_rows import UNKNOWN, ImageRows, PlainRows, RowBlock, RowSource
from training.data.columns import check_names
from training.data.schema import Column, Schema
from training.errors import InputError
from training.job_fields import ZeroBased
from training.run.model_file import TrainedModel

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from harness.datasets.tables.source import Table

# The labels of a table without a schema's: the name that `harness.datasets.tables.arrays` gives to those of an npz.
_NPZ_LABEL = "y"


def predict_data(
    model: TrainedModel,
    text: str,
    output: Path | None,
    *,
    options: TableOptions = DEFAULT_OPTIONS,
    zero_based: ZeroBased = "auto",
    detail: Detail = "none",
    s3: "Callable[[], S3Client] | None" = None,
) -> Prediction:
    """Predict the rows of a data set, in bounded memory.

    Args:
        model: The model.
        text: The value of `--data`.
        output: The file for the table of answers, Parquet or CSV by its name; None for CSV on standard output.
        options: How a table is read; what its columns are for follows from the model.
        zero_based: Whether the feature indices of LIBSVM text start at 0.
        detail: What to write beside each answer.
        s3: Returns the S3 client for tables in S3; None where there is no S3.

    Raises:
        InputError: The data cannot be read, or has not the model's columns; the message names them.
        HarnessError: There is no room for the predictions.
    """
    path = Path(text)
    if is_image_name(path.name) and path.is_file():
        return predict_rows(model, ImageRows(model, path), text, output, detail)
    spec = parse_data_spec(text, options)
    if isinstance(spec, BucketSpec | S3TableSpec):
        client = s3() if s3 else None
        if client is not None and isinstance(spec, BucketSpec):
            spec = find_objects(client, spec.bucket, spec.prefix, options) or spec
        if client is None or isinstance(spec, BucketSpec):
            raise InputError(
                f"data `{text}`: holds no tables\npredictions take CSV, TSV, Parquet and NumPy files there"
            )
        with on_disk(spec, client) as table:
            return predict_rows(model, TableRows(model, table), text, output, detail)
    if isinstance(spec, FileSpec):
        _refuse_named(model, text)
        return predict_file(model, spec.path, output, zero_based=zero_based, detail=detail)
    source: RowSource
    if isinstance(spec, TableSpec):
        source = TableRows(model, spec)
    elif isinstance(spec, ImageFolderSpec):
        source = ImageRows(model, spec.path)
    else:
        _refuse_named(model, text)
        source = PlainRows(model, iter([load_arrays(spec, 0)]), text, from_0=None)
    return predict_rows(model, source, text, output, detail)


class TableRows:
    """The rows of a table, encoded with the schema of the training data.

    A model whose data had no names takes a table of numbers by position, if it has as many columns.

    Args:
        model: The model.
        spec: The table.

    Raises:
        InputError: The files cannot be read, or lack columns of the model.
    """

    def __init__(self, model: TrainedModel, spec: TableSpec) -> None:
        if model.data_type == "cifar10":
            raise InputError(f"data `{spec.name}`: is a table, and model {model.model} was trained on images")
        self._regression, self._clustering = model.is_regression, model.is_clustering
        self._table = open_table(spec)
        self._notes: list[str] = list(self._table.notes)
        columns = self._table.columns
        if model.schema is not None and model.schema.columns:
            schema, self._labels = model.schema, model.schema.label
            self._notes += check_names([name for name in columns if name != schema.label], schema)
        else:
            schema, self._labels = _by_position(model, self._table), _NPZ_LABEL
        label = self._labels if self._labels in columns else None
        self._encoder = Encoder(schema, typed=is_typed(spec), label=label, unknown_labels="keep")
        self._labelled = label is not None
        self._done = self._known = 0

    def blocks(self) -> Iterator[RowBlock]:
        """Yield the rows that are not left out, in order; see `RowSource`."""
        done = 0
        for block in self._table.blocks():
            rows, kept = self._encoder.encode(block)
            numbers = done + 1 + np.flatnonzero(kept)
            done += block.frame.height
            self._done += len(rows.y)
            self._known += int(np.count_nonzero(np.isfinite(rows.y) if self._regression else rows.y != UNKNOWN))
            yield RowBlock(rows.x, rows.y if self._labelled else None, numbers)

    def notes(self) -> list[str]:
        """Return what the user should know; see `RowSource`."""
        lines = [*self._notes, *self._encoder.notes()]
        if self._labelled and not self._clustering and self._known < self._done:
            figure, label = ("error", "target") if self._regression else ("accuracy", "label that the model knows")
            lines.append(
                f"{self._done - self._known} of {self._done} rows have no {label}; the {figure} leaves them out"
            )
        return lines


def _by_position(model: TrainedModel, table: "Table") -> Schema:
    """Return the schema of a table of numbers for a model whose data had no names.

    Raises:
        InputError: The table has another number of columns.
    """
    columns = [name for name in table.columns if name != _NPZ_LABEL]
    if len(columns) != model.n_features:
        raise InputError(
            f"{table.name}: has {len(columns)} columns, and the model {model.n_features} features without names\n"
            "give the features alone, in the order of the training data; --drop leaves a column out"
        )
    classes = None if model.is_regression else model.answers
    return Schema(
        task="regression" if model.is_regression else "classification",
        label=_NPZ_LABEL,
        classes=classes,
        columns=[Column(name=name, kind="numeric") for name in columns],
    )


def _refuse_named(model: TrainedModel, text: str) -> None:
    """Refuse rows without names for a model with names: nobody knows which feature is which.

    Raises:
        InputError: The model's data had names.
    """
    if model.schema is not None and model.schema.columns:
        names = ", ".join(f"`{column.name}`" for column in model.schema.columns[:6])
        more = len(model.schema.columns) - 6
        raise InputError(
            f"data `{text}`: has no column names, and the model was trained on columns with names\n"
            f"give a table with {names}" + (f" and {more} more" if more > 0 else "")
        )
