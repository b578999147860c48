"""Predictions for new rows with a trained model, and the models that runs stored."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.datasets.compressed import CompressedFile
from harness.datasets.data_file import read_rows, with_base
from harness.errors import HarnessError
from harness.history.folder import RunRecords
from harness.runs.prediction_rows import UNKNOWN, PlainRows, RowBlock, RowSource
from harness.runs.prediction_table import answer_table
from training.data.dataset import Dataset, decode_npz
from training.data.labels import plain_label
from training.errors import InputError
from training.job_fields import ZeroBased
from training.run.model_file import TrainedModel, decode_model

if TYPE_CHECKING:
    from training.model.catalogue import DatasetType

# The columns beside a row's number and its answer: the score of each label, its probability, or none.
Detail = Literal["scores", "probabilities", "none"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The result of predicting; the answer for each row is in the table.

    Attributes:
        rows: The number of rows.
        accuracy: The share of rows whose label is the predicted class, among rows with a label that the model knows;
            None without labels, and for a clustering or a regression.
        notes: Other findings for the user, one line each.
        rmse: The root of the mean squared error of a regression; None without targets, and for other models.
    """

    rows: int
    accuracy: float | None
    notes: list[str]
    rmse: float | None = None


def model_of_run(folder: RunRecords) -> TrainedModel:
    """Return the model that a run trained.

    Args:
        folder: The run's folder, in S3 or kept.

    Raises:
        HarnessError: There is no such run, it has not finished, or the model is not the one that it stored.
        InputError: What it stored is no model.
    """
    return decode_model(model_bytes_of_run(folder), folder.location("model.npz"))


def model_bytes_of_run(folder: RunRecords) -> bytes:
    """Return the bytes of the model that a run trained; the arguments and errors are those of `model_of_run`."""
    run_id, body = folder.run_id, folder.read("model.npz")
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
    return body


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


def predict_file(
    model: TrainedModel,
    path: Path,
    output: Path | None,
    *,
    zero_based: ZeroBased = "auto",
    detail: Detail = "scores",
) -> Prediction:
    """Score the rows of a data file of LIBSVM text, of images, or of our arrays, in bounded memory.

    One line per row is written: its number from 1, the label of its class, and what `detail` names.
    If the file cannot be read to its end, nothing is written.

    Args:
        model: The model.
        path: The file.
        output: The file for the table; None for standard output.
        zero_based: Whether the file's feature indices start at 0; `auto` means: if those of the training data do, or
            if the file has an index 0.
        detail: What to write beside each answer.

    Raises:
        InputError: The file has another format; the message names the line or the row.
        HarnessError: There is no room for the predictions.
    """

    def score(from_0: bool) -> Prediction:  # noqa: FBT001 - as `with_base` calls it
        rows = PlainRows(model, _read(model, path, from_0=from_0), path.name, from_0=from_0)
        return predict_rows(model, rows, path.name, output, detail)

    return with_base("yes" if zero_based == "auto" and model.zero_based else zero_based, score)


def predict_rows(
    model: TrainedModel, source: RowSource, name: str, output: Path | None, detail: Detail = "none"
) -> Prediction:
    """Predict rows, and write a table with a line for each.

    Args:
        model: The model.
        source: The rows.
        name: The data's name in errors.
        output: The file for the table, Parquet or CSV by its name; None for CSV on standard output.
        detail: What to write beside each answer.

    Raises:
        InputError: The rows cannot be read, there are none, or the model has no probabilities.
        HarnessError: There is no room for the predictions.
    """
    if detail == "probabilities" and not model.has_probabilities:
        kind = "a regression" if model.is_regression else f"model {model.model}"
        raise InputError(f"--proba: {kind} has no probabilities\nleave the flag out")
    tally = _Tally(model)
    with answer_table(output) as table:
        for block in source.blocks():
            table.add(tally.answered(block, detail))
        if not tally.rows:
            raise InputError(f"{name}: holds no rows")
    return tally.prediction(source.notes())


class _Tally:
    """Predicts blocks of rows, and compares the answers with the truth.

    Attributes:
        rows: Number of rows so far.
    """

    def __init__(self, model: TrainedModel) -> None:
        self._model, self.rows = model, 0
        self._made = None if model.is_clustering else model.made()
        self._labels = _plain_labels(model)
        self._known = self._correct = self._targets = 0
        self._squares = 0.0

    def answered(self, block: RowBlock, detail: Detail) -> dict[str, list[Any]]:
        """Return the columns of the table for some rows."""
        model = self._model
        classes, scores = model.predict(block.x, self._made)
        self.rows += len(block.numbers)
        columns: dict[str, list[Any]] = {"row": block.numbers.tolist()}
        if block.files is not None:
            columns["file"] = [str(path) for path in block.files]
        if model.is_regression and scores is not None:
            columns["prediction"] = scores[:, 0].tolist()
            self._compare_targets(block.truth, scores[:, 0])
            return columns
        columns["class"] = [self._labels[number] for number in classes.tolist()]
        if detail == "probabilities" and scores is not None and not np.allclose(scores.sum(axis=1), 1, atol=1e-3):
            raise InputError(f"--proba: the scores of model {model.model} are no probabilities\nleave the flag out")
        if scores is not None:
            self._compare(block.truth, classes)
            if detail != "none":
                kind = "score" if detail == "scores" else "probability"
                shown = [_shown(label) for label in self._labels]
                columns |= {f"{kind}_{label}": column.tolist() for label, column in zip(shown, scores.T, strict=True)}
        return columns

    def prediction(self, notes: list[str]) -> Prediction:
        """Return the result."""
        accuracy = self._correct / self._known if self._known else None
        rmse = (self._squares / self._targets) ** 0.5 if self._targets else None
        return Prediction(self.rows, accuracy, notes, rmse)

    def _compare(self, truth: NDArray[np.float32] | None, classes: NDArray[np.int64]) -> None:
        if truth is None:
            return
        self._known += int(np.count_nonzero(truth != UNKNOWN))
        self._correct += int(np.count_nonzero(truth == classes))

    def _compare_targets(self, truth: NDArray[np.float32] | None, predicted: NDArray[np.float32]) -> None:
        if truth is not None:
            known = np.isfinite(truth)
            self._targets += int(np.count_nonzero(known))
            self._squares += float(np.square(truth[known].astype(np.float64) - predicted[known]).sum())


def _plain_labels(model: TrainedModel) -> list[Any]:
    """Return the user's labels as one type, because a column of a table has one."""
    labels = model.answers
    if len({type(label) for label in labels}) > 1:
        return [_shown(label) for label in labels]
    return list(labels)


def _shown(label: object) -> str:
    if isinstance(label, bool):
        return str(label).lower()
    return str(plain_label(label)) if isinstance(label, int | float) else str(label)


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
