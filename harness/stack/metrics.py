"""A stack's figures in Prometheus's text format: which of its services are up, and the memory of their processes."""

from collections.abc import Iterator
from contextlib import suppress

import psutil
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from harness.stack.control import dead_parts
from harness.stack.state import StackState, current_state


class StackCollector(Collector):
    """Collects the figures of a stack.

    Args:
        stack: The stack; None if none is up.
    """

    def __init__(self, stack: StackState | None) -> None:
        self._stack = stack

    def collect(self) -> Iterator[Metric]:
        """Yield the figures as they are now."""
        up = GaugeMetricFamily("harness_stack_up", "Whether a stack is up.")
        up.add_metric([], float(self._stack is not None))
        yield up
        if self._stack is None:
            return
        state = current_state(self._stack)
        dead = set(dead_parts(state))
        services = GaugeMetricFamily("harness_service_up", "Whether a service of the stack runs.", labels=["service"])
        memory = GaugeMetricFamily(
            "harness_service_resident_memory_bytes", "Resident memory of a service's process.", labels=["service"]
        )
        for name in (*state.processes, *state.containers):
            services.add_metric([name], float(name not in dead))
        for name, pid in state.processes.items():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                memory.add_metric([name], psutil.Process(pid).memory_info().rss)
        yield services
        yield memory


def stack_metrics(stack: StackState | None) -> bytes:
    """Return a stack's figures in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(StackCollector(stack))
    return generate_latest(registry)
