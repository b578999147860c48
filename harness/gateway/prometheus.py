"""The Lambda service's figures in Prometheus's text format, counted since the gateway started.

    harness_invocations_total{function}        attempts that have run to their end
    harness_errors_total{function}             those that failed
    harness_throttles_total{function}          attempts that were refused, because no concurrency was left
    harness_cold_starts_total{function}        attempts that an environment was started for
    harness_duration_seconds{function}         a histogram of the attempts' durations
    harness_concurrent_executions{function}    invocations that run now
    harness_queue_length{function}             attempts that wait: queued, throttled, or for a retry
    harness_environments{function,state}       environments that are `cold`, `busy` or `idle`

An invocation counts in plain integers; the families are made when somebody scrapes.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from harness.gateway.attempts import DURATION_BOUNDS_S, AttemptBook
from harness.gateway.pool import Pool

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LABELS = ("function",)
_COUNTERS = {
    "invocations": "Attempts that have run to their end.",
    "errors": "Attempts that have failed.",
    "throttles": "Attempts that were refused, because no concurrency was left.",
    "cold_starts": "Attempts that an environment was started for.",
}


class GatewayCollector(Collector):
    """Collects the figures of one gateway.

    Args:
        attempts: Its attempts.
        pool: Its environments.
    """

    def __init__(self, attempts: AttemptBook, pool: Pool) -> None:
        self._attempts, self._pool = attempts, pool

    def collect(self) -> Iterator[Metric]:
        """Yield all figures as they are now."""
        figures = self._attempts.figures()
        for name, words in _COUNTERS.items():
            counter = CounterMetricFamily(f"harness_{name}", words, labels=_LABELS)
            for function, own in figures.items():
                counter.add_metric([function], getattr(own, name))
            yield counter
        durations = HistogramMetricFamily("harness_duration_seconds", "Durations of the attempts.", labels=_LABELS)
        bounds = [*map(str, DURATION_BOUNDS_S), "+Inf"]
        for function, own in figures.items():
            buckets = list(zip(bounds, map(float, accumulate(own.durations)), strict=True))
            durations.add_metric([function], buckets, own.seconds)
        yield durations
        running = {function: self._pool.running(function) for function in figures}
        yield _gauge("concurrent_executions", "Invocations that run now.", running.items())
        waiting = dict.fromkeys(figures, 0) | self._attempts.waiting()
        yield _gauge("queue_length", "Attempts that wait: queued, throttled, or for a retry.", waiting.items())
        environments = GaugeMetricFamily(
            "harness_environments", "Environments by their state.", labels=("function", "state")
        )
        for (function, state), number in Counter((one.function, one.state) for one in self._pool.states()).items():
            environments.add_metric([function, state], number)
        yield environments


def _gauge(name: str, words: str, values: Iterable[tuple[str, int]]) -> Metric:
    gauge = GaugeMetricFamily(f"harness_{name}", words, labels=_LABELS)
    for function, value in values:
        gauge.add_metric([function], value)
    return gauge


def gateway_metrics(attempts: AttemptBook, pool: Pool) -> bytes:
    """Return the figures as text.

    Args:
        attempts: The gateway's attempts.
        pool: Its environments.
    """
    registry = CollectorRegistry()
    registry.register(GatewayCollector(attempts, pool))
    return generate_latest(registry)
