"""Scoring new rows with a trained model."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np
from numpy.typing import NDArray

from fixtures.compressed import CompressedFile
from harness.errors import HarnessError
from training.dataset import decode_partition
from training.results import RunFolder
from training.trained import TrainedModel, decode_model

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a model says of a file's rows.

    Attributes:
        classes: The class (or cluster) of each row, (rows,).
        scores: (rows, classes) float32; None for a clustering.
        accuracy: Share of rows whose label is the predicted class; None for a clustering.
    """

    classes: NDArray[np.int64]
    scores: NDArray[np.float32] | None
    accuracy: float | None


def model_of_run(s3: "S3Client", bucket: str, run_id: str) -> TrainedModel:
    """The model that a run trained.

    Args:
        s3: A client.
        bucket: Where runs lie.
        run_id: The run.

    Raises:
        HarnessError: There is no such run, or it has not finished.
    """
    folder = RunFolder(s3, bucket, run_id)
    body = folder.read("model.npz")
    if body is None:
        raise HarnessError(
            f"run {run_id} has no model", folder.location(""), "see `harness runs` for the runs there are"
        )
    return decode_model(body, folder.location("model.npz"))


def model_of_file(path: Path) -> TrainedModel:
    """The model in a file that `harness run --model-file` wrote.

    Raises:
        HarnessError: The file cannot be read.
        InputError: It holds no model.
    """
    try:
        return decode_model(path.read_bytes(), str(path))
    except OSError as error:
        raise HarnessError(f"the model cannot be read: {error.strerror}", str(path)) from error


def predict_file(model: TrainedModel, path: Path) -> Predictions:
    """Scores the rows of a data file of the kind that the model was trained on.

    Raises:
        InputError: The file is not such a file; line or row is named.
    """
    with CompressedFile(path) as file:
        body = b"".join(file.pieces())
    rows = decode_partition(body, source=path.name, n_features=model.n_features, data_type=model.data_type)
    classes, scores = model.predict(rows.x)
    if scores is None:
        return Predictions(classes, None, None)
    # Two classes may be labelled -1 and 1.
    labels = np.maximum(rows.y, 0) if model.n_classes == 2 else rows.y
    return Predictions(classes, scores, float(np.mean(classes == labels)))


def write_predictions(predictions: Predictions, target: TextIO) -> None:
    """Writes one CSV line per row: its number from 1, its class, and its scores."""
    writer = csv.writer(target)
    scores = predictions.scores
    writer.writerow(["row", "class", *(f"score_{k}" for k in range(0 if scores is None else scores.shape[1]))])
    for row, class_ in enumerate(predictions.classes.tolist()):
        writer.writerow([row + 1, class_, *([] if scores is None else (f"{s:.6g}" for s in scores[row].tolist()))])
