"""A warm start: training begins with the parameters of another run's model, `init_from`.

The optimiser's arrays and the schedule begin anew. Standardised features are scaled as that model's were, because its
parameters belong to that scale.
"""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import numpy as np

from training.data.labels import format_labels
from training.data.schema import Schema
from training.errors import InputError
from training.exchange.exchange import Exchange
from training.job import Job
from training.model.catalogue import MODELS, row_of
from training.run.model_file import TrainedModel, decode_model
from training.run.partition import MOST_PARTITION_BYTES
from training.run.results import get_object

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Bytes of the digest that a float64 represents exactly.
_DIGEST_BYTES = 6


class Start(NamedTuple):
    """A model to start from.

    Attributes:
        model: The model.
        source: Where it was read.
        digest: A number that follows from its bytes.
    """

    model: TrainedModel
    source: str
    digest: float

    def agree(self, exchange: Exchange) -> None:
        """Check in round 0 that all ranks have read the same bytes.

        Raises:
            InputError: The object was replaced meanwhile; all ranks raise it.
        """
        digests = np.zeros(exchange.world_size)
        digests[exchange.rank] = self.digest
        if len(set(exchange.agree("start", digests, 0).values.tolist())) > 1:
            raise InputError(f"{self.source} was replaced while workers read it: run again")


def load_start(s3: "S3Client", job: Job) -> Start | None:
    """Read the job's model to start from; None for a job without.

    Raises:
        InputError: It does not exist, is no model, or does not fit the job.
        StorageError: S3 fails.
    """
    if job.init_from is None:
        return None
    bucket, _, key = job.init_from.removeprefix("s3://").partition("/")
    start = read_start(get_object(s3, bucket, key, most_bytes=MOST_PARTITION_BYTES), job.init_from)
    check_fits(start, job)
    return start


def read_start(body: bytes, source: str) -> Start:
    """Return the model in these bytes.

    Raises:
        InputError: They are no model.
    """
    digest = int.from_bytes(hashlib.sha256(body).digest()[:_DIGEST_BYTES], "little")
    return Start(decode_model(body, source), source, float(digest))


def check_fits(start: Start, job: Job) -> None:
    """Compare a model with the job; a key of the job that is not known yet is not compared.

    Raises:
        InputError: The job trains another model; the key is named.
    """
    model = start.model
    wanted = row_of(job.model)
    row = wanted if model.model == job.model else MODELS.get(model.model)
    if row is None or row.is_clustering or row.maker != wanted.maker:
        _refuse(start, "model", model.model, job.model)
    if job.n_features and model.n_features != job.n_features:
        _refuse(start, "n_features", model.n_features, job.n_features)
    if "hidden_units" in row.options and model.hidden_units != job.hidden_units:
        _refuse(start, "hidden_units", model.hidden_units, job.hidden_units)
    if model.loss != job.loss_kind:
        _refuse(start, "loss", model.loss, job.loss_kind)
    if (model.scaling is not None) != job.standardise:
        _refuse(start, "standardise", str(not job.standardise).lower(), str(job.standardise).lower())


def check_labels(start: Start, labels: Sequence[float]) -> None:
    """Compare a model's classes with those of the data.

    Raises:
        InputError: They differ.
    """
    known = start.model.class_labels
    if list(map(float, labels)) != known:
        raise InputError(
            f"init_from={start.source} has the classes {format_labels(known)}, and the data {format_labels(labels)}: "
            "a model goes on with the classes that it has"
        )


def check_schema(start: Start, schema: Schema | None) -> None:
    """Compare a model's columns and the user's labels with those of the data; a model without names fits any.

    Raises:
        InputError: They differ; the first such column or label is named.
    """
    known = start.model.schema
    if known is None:
        return
    if schema is None:
        raise InputError(f"init_from={start.source} was trained on data with names, and this data has none")
    for what, ours, theirs in (
        ("columns", known.features, schema.features),
        ("labels", known.classes or [], schema.classes or []),
    ):
        if ours != theirs:
            lacks = [f"lacks {name!r}" for name in ours if name not in theirs][:1]
            beyond = [f"has {name!r} in addition" for name in theirs if name not in ours][:1]
            how = " and ".join(lacks + beyond) or "has them in another order"
            raise InputError(f"init_from={start.source} was trained on other {what}: the data {how}")


def _refuse(start: Start, key: str, needed: object, got: object) -> NoReturn:
    raise InputError(f"init_from={start.source} needs {key}={needed}; got {key}={got}")
