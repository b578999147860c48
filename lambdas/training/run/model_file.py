"""A trained model as an object in S3 (`model.npz`), and its predictions for new rows.

docs/model-file.md lists the arrays. A classification or clustering without a schema has the bytes of version 1.
We write the `.npz` ourselves because the bytes of `numpy.savez` differ among patch releases of Python 3.11.
"""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from training.data.labels import are_numbers, plain_label
from training.data.scaling import Scaling, TargetScaling
from training.data.schema import Schema, decode_schema, encode_schema
from training.errors import InputError
from training.job import Job
from training.model.base import Model, Parameters, Rows
from training.model.catalogue import DatasetType, loss_of, make_model, row_of, task_of
from training.model.loss_kinds import LossKind
from training.model.own import facts_of

# The newest version of the file: 1 has no schema, no loss and no facts, and no array `version`.
MODEL_VERSION = 2
_ZIP = b"PK"


class TrainedModel(NamedTuple):
    """A trained model with everything that a prediction needs.

    Attributes:
        model: The model's name, as in the job.
        parameters: Its parameters, flat float32.
        data_type: The type of its rows.
        n_features: Columns of its rows.
        n_classes: Number of classes, or of clusters; 1 for a regression.
        hidden_units: Width of the hidden layer of mlp.
        scaling: Standardises rows first; None for rows as they are.
        labels: The label of each class; None where a label is its class's number, and for a clustering.
        zero_based: Whether feature indices of the data started at 0.
        schema: The columns of the data and the user's label of each class; None for data without names.
        loss_name: The loss of a regression; None for the model's own.
        huber_delta: Where the Huber loss turned linear.
        target: The scaling of a regression's targets, undone in predictions; None for targets as they are.
        facts: What a model of the user's own was made from, as JSON; empty for one of the catalogue.
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
    schema: Schema | None = None
    loss_name: LossKind | None = None
    huber_delta: float = 1.0
    target: TargetScaling | None = None
    facts: str = ""

    @classmethod
    def of_job(
        cls,
        job: Job,
        parameters: Parameters,
        scaling: Scaling | None,
        labels: Sequence[float],
        schema: Schema | None = None,
        target: TargetScaling | None = None,
    ) -> Self:
        """Return the model that a job trained; `labels` has the label of each class, and is empty without classes."""
        regression = job.task == "regression"
        n_classes = job.n_clusters if job.optim == "em" else len(labels) or 1
        own = row_of(job.model).own
        return cls(
            model=job.model,
            parameters=parameters,
            data_type=job.data_type,
            n_features=job.n_features,
            n_classes=n_classes,
            hidden_units=job.hidden_units,
            scaling=scaling,
            labels=None if are_numbers(labels) else np.array(labels, np.float32),
            zero_based=job.zero_based == "yes",
            schema=schema,
            loss_name=job.loss_kind if regression else None,
            huber_delta=job.huber_delta,
            target=target,
            facts=json.dumps(facts_of(msgspec.structs.asdict(job), n_classes)) if own else "",
        )

    @property
    def class_labels(self) -> list[float]:
        """The label of each class, or the number of each cluster."""
        return list(map(float, range(self.n_classes) if self.labels is None else self.labels.tolist()))

    @property
    def answers(self) -> list[str | int | float]:
        """The user's label of each class, from the schema where there is one; the number of each cluster."""
        if self.schema is None or self.schema.classes is None:
            return [plain_label(label) for label in self.class_labels]
        named = self.schema.classes
        # A class that only `n_classes` of the job names has its number.
        numbers = [int(label) for label in self.class_labels]
        return [named[number] if number < len(named) else number for number in numbers]

    @property
    def loss(self) -> LossKind:
        """The loss that training minimised."""
        return loss_of(self.model, self.loss_name)

    @property
    def is_regression(self) -> bool:
        """Whether the model predicts numbers, not labels."""
        return task_of(self.loss) == "regression"

    @property
    def is_clustering(self) -> bool:
        """Whether the model predicts clusters, and has no scores."""
        return row_of(self.model).is_clustering

    @property
    def has_probabilities(self) -> bool:
        """Whether the scores are probabilities; the module of a user's own model must be importable."""
        if self.facts:
            return bool(getattr(self.made(), "has_probabilities", False))
        return self.loss == "cross_entropy"

    def made(self) -> Model:
        """Return the model that computes with the parameters.

        Raises:
            InputError: A clustering has none, PyTorch is needed and not installed, or the module of a user's own model
                cannot be imported.
        """
        if self.facts:
            return make_model(self.model, **json.loads(self.facts))
        return make_model(
            self.model,
            n_features=self.n_features,
            n_classes=self.n_classes,
            hidden_units=self.hidden_units,
            loss=self.loss,
            huber_delta=self.huber_delta,
        )

    def predict(self, x: Rows, made: Model | None = None) -> tuple[NDArray[np.int64], NDArray[np.float32] | None]:
        """Return the class of each row and its scores (rows, classes); a clustering gives clusters and no scores.

        In a regression the scores are the predictions (rows, 1), and there are no classes: all are 0.

        Args:
            x: The rows.
            made: What `made` returned, to predict several blocks of rows; None to make the model for this one.

        Raises:
            InputError: The file has another number of parameters than its model.
        """
        rows = self.scaling.apply(x) if self.scaling else x
        if self.is_clustering:
            from training.model.kmeans import predict  # noqa: PLC0415 - only a clustering needs it

            return predict(self.parameters, rows), None
        model = made or self.made()
        try:
            scores = model.predict(self.parameters, rows)
        except (ValueError, RuntimeError) as error:
            # Only a failure is worth the time: the initial parameters of a network are drawn.
            if (wanted := model.initial(0).size) == self.parameters.size:
                raise
            raise InputError(
                f"the model file has {self.parameters.size:,} parameters, and {self.model} on {self.n_features:,} "
                f"features {wanted:,}\nthe file is damaged: take another copy, or train again"
            ) from error
        if self.target is not None:
            scores = self.target.undo(scores)
        return scores.argmax(axis=1), scores


def encode_model(trained: TrainedModel) -> bytes:
    """Return the bytes of `model.npz`; the same model gives the same bytes, on every version of Python."""
    arrays: dict[str, Any] = trained._asdict()
    scaling = arrays.pop("scaling")
    if scaling is not None:
        arrays |= {"mean": scaling.mean, "scale": scaling.scale}
    schema = arrays.pop("schema")
    target, named, delta = arrays.pop("target"), arrays.pop("loss_name"), arrays.pop("huber_delta")
    if schema is not None or named is not None or trained.facts:
        arrays["version"] = MODEL_VERSION
    if schema is not None:
        arrays["schema"] = encode_schema(schema)
    if named is not None:
        arrays["loss"] = named
    if named == "huber":
        arrays["huber_delta"] = delta
    if target is not None:
        arrays |= {"target_mean": target.mean, "target_scale": target.scale}
    # Omitting the defaults of newer fields keeps the bytes of earlier versions.
    omitted = {"labels": trained.labels is None, "zero_based": not trained.zero_based, "facts": not trained.facts}
    arrays = {key: array for key, array in arrays.items() if not omitted.get(key)}
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
        InputError: The bytes are not a trained model, or one of a newer version.
    """
    if not body.startswith(_ZIP):
        raise InputError(f"{source} is not a trained model: it is no .npz file")
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
            version = int(arrays["version"]) if "version" in arrays else 1
            if not 1 <= version <= MODEL_VERSION:
                raise InputError(
                    f"{source} is a model file of version {version}; this version reads 1 to "
                    f"{MODEL_VERSION}\nuse the version that trained it, or train again"
                )
            scaling = Scaling(arrays["mean"], arrays["scale"]) if "mean" in arrays or "scale" in arrays else None
            return TrainedModel(
                model=str(arrays["model"]),
                parameters=_finite(arrays["parameters"]),
                data_type=cast("DatasetType", str(arrays["data_type"])),
                n_features=int(arrays["n_features"]),
                n_classes=int(arrays["n_classes"]),
                hidden_units=int(arrays["hidden_units"]),
                scaling=scaling,
                labels=arrays.get("labels"),
                zero_based="zero_based" in arrays and bool(arrays["zero_based"]),
                schema=decode_schema(arrays["schema"].item(), source) if "schema" in arrays else None,
                loss_name=cast("LossKind", str(arrays["loss"])) if "loss" in arrays else None,
                huber_delta=float(arrays["huber_delta"]) if "huber_delta" in arrays else 1.0,
                target=_target(arrays),
                facts=str(arrays["facts"]) if "facts" in arrays else "",
            )
    except (
        ValueError,
        KeyError,
        OSError,
        EOFError,
        TypeError,
        AttributeError,
        NotImplementedError,
        zipfile.BadZipFile,
    ) as error:
        raise InputError(f"{source} is not a trained model ({error})") from error


def _finite(parameters: NDArray[Any]) -> NDArray[Any]:
    if parameters.dtype.kind != "f" or not np.isfinite(parameters).all():
        raise ValueError("its parameters must be finite numbers")
    return parameters


def _target(arrays: Mapping[str, Any]) -> TargetScaling | None:
    if "target_mean" not in arrays:
        return None
    return TargetScaling(float(arrays["target_mean"]), float(arrays["target_scale"]))
