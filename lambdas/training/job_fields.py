"""The types of the job's fields: which values each allows, and a phrase that says so in errors and in `--help`."""

from typing import Annotated, Any, Literal, get_args

import msgspec

from training.model.catalogue import MODELS, OWN_PATTERN

Optimisation = Literal["grad_avg", "model_avg", "admm", "em"]
SyncMode = Literal["reduce", "reduce_scatter", "all_gather", "two_level", "async", "auto"]
ChannelName = Literal["memcached"]

Optimiser = Literal["sgd", "nesterov", "adam", "adamw"]
LrSchedule = Literal["constant", "step", "cosine", "inverse_sqrt"]
Penalty = Literal["l1", "l2"]
StopMetric = Literal["loss", "accuracy", "auc", "precision", "recall", "f1", "log_loss", "rmse", "r2"]
LossName = Literal["cross_entropy", "hinge", "squared", "huber", "poisson"]
KMeansInit = Literal["kmeans++", "first_rows"]
ZeroBased = Literal["auto", "yes", "no"]
ExchangeDtype = Literal["float32", "float16"]


def one_of(choices: Any) -> msgspec.Meta:  # noqa: ANN401 - Literal has no narrower type
    """Return the description of a field that takes one of some values."""
    return msgspec.Meta(description=" | ".join(get_args(choices)))


# A prefix in the channel's keys: no white space or control characters, and short enough to leave room for the rest
# of a Memcached key (250 bytes in all).
KeyPrefix = Annotated[
    str,
    msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{0,63}$", description="at most 63 letters, digits, `.`, `_` or `-`"),
]
BucketName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        description="an S3 bucket's name: 3 to 63 lower-case letters, digits, dots or hyphens",
    ),
]
KeyFolder = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^([A-Za-z0-9._-]+/)*$",
        max_length=512,
        description="folders of letters, digits, `.`, `_` or `-`, each with a `/` at its end; at most 512 characters",
    ),
]
RunId = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$",
        description="1 to 80 letters, digits, `.`, `_` or `-`, the first a letter or digit",
    ),
]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$", description="a SHA-256 in hexadecimal")]
_NUMBER = r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
ClassWeights = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^(balanced|{_NUMBER}(,{_NUMBER})*)?$",
        description="balanced, or a number above 0 for each class, as 1,5",
    ),
]
Model = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^({'|'.join(MODELS)}|{OWN_PATTERN})$",
        max_length=256,
        description=f"{' | '.join(MODELS)} | module:Name of your own",
    ),
]
FunctionName = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="1 to 64 letters, digits, `-` or `_`")
]
START_FORMS = "a run, a model.npz, or s3://bucket/key"
FeatureCount = Annotated[int, msgspec.Meta(ge=1, le=10_000_000, description="an integer from 1 to 10000000")]
MOST_WORKERS = 1000
WorldSize = Annotated[int, msgspec.Meta(ge=1, le=MOST_WORKERS, description=f"an integer from 1 to {MOST_WORKERS}")]
HostName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:-]+$", description="a host name or an address")]
Share = Annotated[float, msgspec.Meta(ge=0, lt=1, description="a number from 0 to below 1")]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400, description="seconds, above 0 and up to 86400")]
