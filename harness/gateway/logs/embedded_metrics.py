"""CloudWatch's embedded metric format (EMF): metrics within a log event in JSON, read and checked as documented.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import msgspec

from harness.gateway.runtime.bootstrap import NO_LINE_END

_MARK = '"CloudWatchMetrics"'
_MOST_VALUES = 100
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
_SIZES = ("Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes", "Bits", "Kilobits", "Megabits", "Gigabits")
_COUNTED = (*_SIZES, "Terabits", "Count")
UNITS = {
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Percent",
    "None",
    *_COUNTED,
    *(f"{one}/Second" for one in _COUNTED),
}

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
DimensionSet = Annotated[list[Annotated[str, msgspec.Meta(min_length=1, max_length=250)]], msgspec.Meta(max_length=30)]


class MalformedMetricsError(Exception):
    """A line looks as if it embedded metrics, but breaks the format."""


class MetricDefinition(msgspec.Struct, rename="pascal"):
    """The definition of one metric, whose values are in the root of the document."""

    name: Name
    unit: str = "None"
    storage_resolution: int = 60


class MetricDirective(msgspec.Struct, rename="pascal"):
    """The metrics of one namespace, and the sets of dimensions that each of them has."""

    namespace: Name
    dimensions: list[DimensionSet]
    metrics: Annotated[list[MetricDefinition], msgspec.Meta(max_length=100)]


class MetricMetadata(msgspec.Struct, rename="pascal"):
    """The `_aws` of a document."""

    timestamp: Annotated[float, msgspec.Meta(ge=0)]
    cloud_watch_metrics: list[MetricDirective]


class EmbeddedMetric(NamedTuple):
    """The values of one metric with one set of dimensions.

    Attributes:
        namespace: The namespace.
        name: The metric's name.
        unit: CloudWatch's name of the unit.
        dimensions: The dimensions with their values.
        values: The values.
        timestamp_ms: Their time, milliseconds since the epoch.
    """

    namespace: str
    name: str
    unit: str
    dimensions: tuple[tuple[str, str], ...]
    values: list[float]
    timestamp_ms: int


def may_embed(text: str) -> bool:
    """Return whether a text may hold metrics at all, which is quick to tell."""
    return _MARK in text


def embedded_in(line: str) -> Iterator[EmbeddedMetric]:
    """Yield the metrics of one line; none for a line that is not such a document at all.

    Raises:
        MalformedMetricsError: The line is such a document, but breaks the format.
    """
    if _MARK not in line or not line.startswith("{"):
        return
    try:
        root = msgspec.json.decode(line.removesuffix(NO_LINE_END))
        if "_aws" not in root:
            return
        metadata = msgspec.convert(root["_aws"], MetricMetadata)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise MalformedMetricsError(str(error)) from error
    for directive in metadata.cloud_watch_metrics:
        sets = [_dimensions(names, root) for names in directive.dimensions]
        for metric in directive.metrics:
            _check(metric)
            values = _values(metric.name, root)
            for dimensions in sets if values else ():
                yield EmbeddedMetric(
                    directive.namespace, metric.name, metric.unit, dimensions, values, int(metadata.timestamp)
                )


def _check(metric: MetricDefinition) -> None:
    if metric.unit not in UNITS:
        raise MalformedMetricsError(f"metric '{metric.name}' has the unit '{metric.unit}', which CloudWatch lacks")
    if metric.storage_resolution not in (1, 60):
        raise MalformedMetricsError(f"metric '{metric.name}' has a StorageResolution that is neither 1 nor 60")


def _dimensions(names: list[str], root: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    for name in names:
        if not isinstance(root.get(name), str):
            raise MalformedMetricsError(f"dimension '{name}' is no text in the root of the document")
    return tuple((name, root[name]) for name in names)


def _values(name: str, root: dict[str, Any]) -> list[float]:
    """Return a metric's values; none if the document has none."""
    found = root.get(name, [])
    values = found if isinstance(found, list) else [found]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise MalformedMetricsError(f"metric '{name}' is neither a number nor a list of numbers")
    if len(values) > _MOST_VALUES:
        raise MalformedMetricsError(f"metric '{name}' has more than {_MOST_VALUES} values")
    return [float(value) for value in values]
