"""Scoring new rows with a trained model."""

import csv
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

import numpy as np
from numpy.typing import NDArray

from harness.datasets.compressed import CompressedFile
from harness.datasets.data_file import read_rows, with_base
from harness.errors import HarnessError
from training.data.dataset import Dataset, decode_npz
from training.data.labels import MOST_LABELS, format_labels, plain_label
from training.errors import InputError
from training.job import ZeroBased
from training.model.base import Rows
from training.model.catalogue import MODELS
from training.run.model_file import TrainedModel, decode_model
from training.run.results import RunFolder

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from training.model.catalogue import DatasetType


# The limit of a block of dense rows, and of the predictions in memory; more predictions go to disk.
_BLOCK_BYTES = 16 << 20
_MOST_UNSEEN_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Prediction:
    """The result of scoring a file; the classes of the rows are in the table.

    Attributes:
        rows: The number of rows.
        accuracy: The share of rows whose label is the predicted class, among rows with a label that the model knows;
            None for a clustering, and if the model knows no label of the file.
        notes: Other findings for the user, one line each.
    """

    rows: int
    accuracy: float | None
    notes: list[str]


def model_of_run(s3: "S3Client", bucket: str, run_id: str) -> TrainedModel:
    """Return the model that a run trained.

    Args:
        s3: A client.
        bucket: The bucket of the run's results.
        run_id: The run.

    Raises:
        HarnessError: There is no such run, it has not finished, or the model is not the one that it stored.
    """
    folder = RunFolder(s3, bucket, run_id)
    body = folder.read("model.npz")
    if body is None:
        raise HarnessError(
            f"run {run_id} has no model", folder.location(""), "see `harness runs` for the runs there are"
        )
    result = folder.read_json("result.json")
    if result is None:
        raise HarnessError(
            f"run {run_id} has not finished", folder.location(""), "wait until `harness runs` shows it as succeeded"
        )
    found = hashlib.sha256(body).hexdigest()
    try:
        expected = result["model"]["sha256"]
    except (KeyError, TypeError, IndexError) as error:
        raise HarnessError("the result names no model", folder.location("result.json"), "train again") from error
    if found != expected:
        raise HarnessError(
            f"the model is not the one that run {run_id} stored: sha256 {found}, expected {expected}",
            folder.location("model.npz"),
            "train again, or put the model of `harness run --model-file` back",
        )
    return decode_model(body, folder.location("model.npz"))


def model_of_file(path: Path) -> TrainedModel:
    """Return the model in a file that `harness run --model-file` wrote.

    Raises:
        HarnessError: The file cannot be read.
        InputError: It holds no model.
    """
    try:
        return decode_model(path.read_bytes(), str(path))
    except OSError as error:
        raise HarnessError(f"the model cannot be read: {error.strerror}", str(path)) from error


def predict_file(model: TrainedModel, path: Path, output: Path | None, *, zero_based: ZeroBased = "auto") -> Prediction:
    """Score the rows of a data file in the format of the training data, in bounded memory.

    One CSV line per row is written: its number from 1, the label of its class, and its scores.
    If the file cannot be read to its end, nothing is written.

    Args:
        model: The model.
        path: The file.
        output: The file for the CSV; None for standard output.
        zero_based: Whether the file's feature indices start at 0; `auto` means: if those of the training data do, or
            if the file has an index 0.

    Raises:
        InputError: The file has another format; the message names the line or the row.
        HarnessError: There is no room for the predictions.
    """

    def score(from_0: bool) -> Prediction:  # noqa: FBT001 - as `with_base` calls it
        scoring = _Scoring(model, path.name, from_0=from_0)
        with tempfile.SpooledTemporaryFile(_BLOCK_BYTES, "w+", encoding="utf-8", newline="") as table:
            with _writing("the predictions", f"in {tempfile.gettempdir()}, or set TMPDIR to a folder on a larger disk"):
                scoring.write(_read(model, path, from_0=from_0), cast("TextIO", table))
                table.seek(0)
            if output is None:
                shutil.copyfileobj(table, sys.stdout)
            else:
                with _writing(str(output), "for it"), output.open("w", encoding="utf-8", newline="") as file:
                    shutil.copyfileobj(table, file)
        return scoring.prediction()

    return with_base("yes" if zero_based == "auto" and model.zero_based else zero_based, score)


@contextmanager
def _writing(what: str, room: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HarnessError(
            f"{what} cannot be written: {error.strerror or error}", remedy=f"make room {room}"
        ) from error


class _Scoring:
    """Scores blocks of rows and counts the results."""

    def __init__(self, model: TrainedModel, name: str, *, from_0: bool) -> None:
        self._model, self._name, self._from_0 = model, name, from_0
        self._labels = np.array(model.class_labels, np.float32)
        self._rows = self._known = self._correct = 0
        self._unknown: set[float] = set()
        # One byte per index: a set of millions of numbers would take more memory than the rows.
        self._unseen = np.zeros(0, np.bool_)
        self._clusters = MODELS[model.model].is_clustering

    def write(self, blocks: Iterator[Dataset], table: TextIO) -> None:
        """Score all rows."""
        writer, labels = csv.writer(table), [plain_label(label) for label in self._model.class_labels]
        writer.writerow(["row", "class", *(() if self._clusters else (f"score_{label}" for label in labels))])
        for block in self._narrowed(blocks):
            classes, scores = self._model.predict(block.x)
            numbers = range(self._rows + 1, self._rows + 1 + block.rows)
            shown = [[f"{s:.6g}" for s in row] for row in scores.tolist()] if scores is not None else repeat(())
            writer.writerows([n, labels[k], *s] for n, k, s in zip(numbers, classes.tolist(), shown, strict=False))
            self._rows += block.rows
            if not self._clusters:
                self._compare(block.y, self._labels[classes])
        if not self._rows:
            raise InputError(f"{self._name}: holds no rows")

    def prediction(self) -> Prediction:
        """Return the result."""
        notes = []
        if self._model.data_type != "cifar10" and self._from_0 != self._model.zero_based:
            bases = ("0", "1") if self._from_0 else ("1", "0")
            notes.append(
                f"feature indices of {self._name} start at {bases[0]}, those of the training data at {bases[1]}: "
                f"{bases[0]} here is taken for {bases[1]} there"
            )
        unseen = np.flatnonzero(self._unseen) + (not self._from_0)
        if unseen.size:
            shown, more = ", ".join(map(str, unseen[:_MOST_UNSEEN_SHOWN].tolist())), unseen.size - _MOST_UNSEEN_SHOWN
            shown += f" and {more} more" if more > 0 else ""
            notes.append(f"{unseen.size} features that the model never saw are ignored: {shown}")
        unknown, known = format_labels(sorted(self._unknown)), format_labels(self._model.class_labels)
        if self._unknown and not self._known:
            notes.append(f"no accuracy: the labels of {self._name} ({unknown}) are none of the model's ({known})")
        elif self._unknown:
            notes.append(
                f"{self._rows - self._known} of {self._rows} rows have labels that are none of the model's ({known}): "
                f"{unknown}; the accuracy leaves them out"
            )
        return Prediction(self._rows, self._correct / self._known if self._known else None, notes)

    def _note_unseen(self, width: int, columns: range | NDArray[np.int32]) -> None:
        if width > self._unseen.size:
            self._unseen = np.concatenate([self._unseen, np.zeros(width - self._unseen.size, np.bool_)])
        self._unseen[columns if isinstance(columns, np.ndarray) else slice(columns.start, columns.stop)] = True

    def _narrowed(self, blocks: Iterator[Dataset]) -> Iterator[Dataset]:
        """Yield the rows with the model's columns; dense rows were read as sparse ones and become dense here."""
        width, dense = self._model.n_features, self._model.data_type == "dense_libsvm"
        for block in blocks:
            x = block.x
            if x.shape[1] > width:
                unseen = range(width, x.shape[1]) if isinstance(x, np.ndarray) else x.indices[x.indices >= width]
                self._note_unseen(x.shape[1], unseen)
                x = x[:, :width]
            at_once = max(1, _BLOCK_BYTES // (4 * width)) if dense else max(1, block.rows)
            for first in range(0, block.rows, at_once):
                rows = x[first : first + at_once]
                if rows.shape[1] < width:
                    rows = _widened(rows, width)
                if dense and not isinstance(rows, np.ndarray):
                    rows = rows.toarray()
                yield Dataset(rows, block.y[first : first + at_once])

    def _compare(self, y: NDArray[np.float32], predicted: NDArray[np.float32]) -> None:
        known = np.isin(y, self._labels)
        self._known += int(known.sum())
        self._correct += int(np.count_nonzero(y == predicted))
        if not known.all() and len(self._unknown) <= MOST_LABELS:
            self._unknown.update(np.unique(y[~known]).tolist())


def _widened(x: Rows, width: int) -> Rows:
    """Append columns of zeros."""
    if isinstance(x, np.ndarray):
        return np.pad(x, ((0, 0), (0, width - x.shape[1])))
    from training.data.sparse import csr_rows  # noqa: PLC0415 - scipy is for sparse rows alone

    return csr_rows(x.data, x.indices, x.indptr, width)


def _read(model: TrainedModel, path: Path, *, from_0: bool) -> Iterator[Dataset]:
    """Return the rows of a file in blocks of bounded size.

    Raises:
        InputError: The file cannot be read, or its rows are of another type.
    """
    with CompressedFile(path) as file:
        whole = file.is_npz()
    if whole:
        _, dataset = decode_npz(path.read_bytes(), source=path.name, data_type=model.data_type)
        return iter([dataset])
    kind: DatasetType = "cifar10" if model.data_type == "cifar10" else "sparse_libsvm"
    return read_rows(path, data_type=kind, zero_based=from_0)
