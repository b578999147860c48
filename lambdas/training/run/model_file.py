"""A trained model as an object in S3 (`model.npz`), and its predictions for new rows.

We write the `.npz` ourselves because the bytes of `numpy.savez` differ among patch releases of Python 3.11.
"""

import io
import zipfile
from collections.abc import Sequence
from typing import Any, NamedTuple, Self, cast

import numpy as np
from numpy.typing import NDArray

from training.data.labels import are_numbers
from training.data.scaling import Scaling
from training.errors import InputError
from training.job import Job
from training.model.base import Parameters, Rows
from training.model.catalogue import MODELS, DatasetType, make_model


class TrainedModel(NamedTuple):
    """A trained model with everything that a prediction needs.

    Attributes:
        model: The model's name, as in the job.
        parameters: Its parameters, flat float32.
        data_type: The type of its rows.
        n_features: Columns of its rows.
        n_classes: Number of classes, or of clusters.
        hidden_units: Width of the hidden layer of mlp.
        scaling: Standardises rows first; None for rows as they are.
        labels: The label of each class; None where a label is its class's number, and for a clustering.
        zero_based: Whether feature indices of the data started at 0.
    """

    model: str
    parameters: Parameters
    data_type: DatasetType
    n_features: int
    n_classes: int
    hidden_units: int
    scaling: Scaling | None
    labels: NDArray[np.float32] | None = None
    zero_based: bool = False

    @classmethod
    def of_job(cls, job: Job, parameters: Parameters, scaling: Scaling | None, labels: Sequence[float]) -> Self:
        """Return the model that a job trained; `labels` has the label of each class, and is empty for a clustering."""
        return cls(
            model=job.model,
            parameters=parameters,
            data_type=job.data_type,
            n_features=job.n_features,
            n_classes=job.n_clusters if job.optim == "em" else len(labels),
            hidden_units=job.hidden_units,
            scaling=scaling,
            labels=None if are_numbers(labels) else np.array(labels, np.float32),
            zero_based=job.zero_based == "yes",
        )

    @property
    def class_labels(self) -> list[float]:
        """The label of each class, or the number of each cluster."""
        return list(map(float, range(self.n_classes) if self.labels is None else self.labels.tolist()))

    def predict(self, x: Rows) -> tuple[NDArray[np.int64], NDArray[np.float32] | None]:
        """Return the class of each row and its scores (rows, classes); a clustering gives clusters and no scores."""
        rows = self.scaling.apply(x) if self.scaling else x
        if MODELS[self.model].is_clustering:
            from training.model.kmeans import predict  # noqa: PLC0415 - only a clustering needs it

            return predict(self.parameters, rows), None
        model = make_model(
            self.model, n_features=self.n_features, n_classes=self.n_classes, hidden_units=self.hidden_units
        )
        scores = model.predict(self.parameters, rows)
        return scores.argmax(axis=1), scores


def encode_model(trained: TrainedModel) -> bytes:
    """Return the bytes of `model.npz`; the same model gives the same bytes, on every version of Python."""
    arrays: dict[str, Any] = trained._asdict()
    scaling = arrays.pop("scaling")
    if scaling is not None:
        arrays |= {"mean": scaling.mean, "scale": scaling.scale}
    # Omitting the defaults of newer fields keeps the bytes of earlier versions.
    if trained.labels is None:
        del arrays["labels"]
    if not trained.zero_based:
        del arrays["zero_based"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asarray(array), allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue())
    return archive.getvalue()


def decode_model(body: bytes, source: str) -> TrainedModel:
    """Read `model.npz`.

    Raises:
        InputError: The bytes are not a trained model.
    """
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
            scaling = Scaling(arrays["mean"], arrays["scale"]) if "mean" in arrays else None
            return TrainedModel(
                model=str(arrays["model"]),
                parameters=arrays["parameters"],
                data_type=cast("DatasetType", str(arrays["data_type"])),
                n_features=int(arrays["n_features"]),
                n_classes=int(arrays["n_classes"]),
                hidden_units=int(arrays["hidden_units"]),
                scaling=scaling,
                labels=arrays.get("labels"),
                zero_based="zero_based" in arrays and bool(arrays["zero_based"]),
            )
    except (ValueError, KeyError, OSError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(f"{source} is not a trained model ({error})") from error
