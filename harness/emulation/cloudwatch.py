"""CloudWatch: statistics of the metric that has exactly the requested dimensions, as on AWS."""

from datetime import datetime
from types import SimpleNamespace
from typing import Any

from moto.cloudwatch.models import CloudWatchBackend


def install(_endpoint: str) -> None:
    """Add this to moto's CloudWatch, which also counts metrics that have other dimensions beside the requested ones."""
    every = CloudWatchBackend.get_all_metrics
    of_all = CloudWatchBackend.get_metric_statistics

    def get_metric_statistics(
        self: CloudWatchBackend,
        namespace: str,
        metric_name: str,
        start_time: datetime,
        *others: Any,  # noqa: ANN401 - as moto has them
        dimensions: list[dict[str, str]],
        unit: str | None = None,
    ) -> Any:  # noqa: ANN401 - moto's statistics
        wanted = {(one["Name"], one.get("Value")) for one in dimensions or ()}
        found = [one for one in every(self) if {(d.name, d.value) for d in one.dimensions} == wanted]
        exact: Any = SimpleNamespace(get_all_metrics=lambda: found)
        # CloudWatch rounds the time down to whole minutes, and moto does not.
        begin = start_time.replace(second=0, microsecond=0)
        return of_all(exact, namespace, metric_name, begin, *others, dimensions=dimensions, unit=unit)  # type: ignore[misc]

    CloudWatchBackend.get_metric_statistics = get_metric_statistics  # type: ignore[method-assign,assignment]
