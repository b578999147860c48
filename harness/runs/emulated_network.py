"""The emulated network of a run: asked of its stack, and told with what this machine cannot do as quickly."""

import http.client
import os
from urllib.parse import urlsplit

import msgspec

from harness.errors import HarnessError
from harness.guard import authorization
from harness.network.conditions.tally import TripFigures
from harness.network.report import NetworkReport
from harness.stack.state import StackState

ANSWER_WITHIN_S = 10.0
# Trips that took this much longer than drawn are told: the forecast's goal is as near.
MOST_ABOVE = 0.1


class RunNetwork(msgspec.Struct, frozen=True):
    """The emulated network of a run.

    Attributes:
        preset: The preset's name.
        seed: The seed of its draws.
        zones: The number of zones that functions were in.
        cache_zone: The zone of the cache.
        trips: What was drawn and what was delivered, by kind and zone.
        own_ms: What a trip to the cache takes on this machine by itself: no emulated one is shorter.
        warnings: In what this machine is slower than what it emulates.
    """

    preset: str
    seed: int
    zones: int
    cache_zone: str
    trips: list[TripFigures]
    own_ms: float
    warnings: list[str] = []


def network_of_run(stack: StackState | None, n_workers: int) -> RunNetwork | None:
    """Return the emulated network of a run so far; None if there is none.

    Args:
        stack: The run's stack.
        n_workers: The number of workers.

    Raises:
        HarnessError: The network's process does not answer.
    """
    if stack is None or stack.endpoints.network is None:
        return None
    report = _report(stack, stack.endpoints.network)
    faults = stack.endpoints.faults is not None
    warnings = [*beforehand(report, n_workers, len(os.sched_getaffinity(0))), *afterwards(report.trips, faults=faults)]
    return RunNetwork(
        report.preset, report.seed, report.zones, report.cache_zone, report.trips, report.own.trip_ms, warnings
    )


def beforehand(report: NetworkReport, n_workers: int, cores: int) -> list[str]:
    """Return in what this machine cannot be as quick as what it emulates, for a run of so many workers.

    Args:
        report: What the network's process says.
        n_workers: The number of workers.
        cores: The number of cores of this machine.
    """
    found, own, wanted = [], report.own, report.wanted
    if own.trip_ms > wanted.trip_ms:
        found.append(
            f"a trip to the cache takes {own.trip_ms:.2f} ms on this machine by itself, "
            f"more than the {wanted.trip_ms:.2f} ms that are emulated"
        )
    bandwidth = min(n_workers * wanted.function_bandwidth, wanted.node_bandwidth)
    if own.bandwidth < bandwidth:
        found.append(
            f"this machine carries about {own.bandwidth:,.0f} MB/s to the cache, "
            f"less than the {bandwidth:,.0f} MB/s that are emulated"
        )
    if n_workers > cores:
        found.append(
            f"{n_workers} workers share {cores} cores: they compute slower than {n_workers} functions, "
            "and trips may take longer than drawn"
        )
    return found


def afterwards(trips: list[TripFigures], *, faults: bool) -> list[str]:
    """Return which trips took clearly longer than drawn.

    Args:
        trips: What was drawn and delivered.
        faults: Whether the run had faults, whose delays are in what was delivered.
    """
    why = "this machine was too busy, or the run's faults delayed them" if faults else "this machine was too busy"
    return [
        f"trips to the cache took {trip.delivered_ms['p50']:.2f} ms where {trip.drawn_ms['p50']:.2f} ms were drawn "
        f"({trip.zone}, p50): {why}"
        for trip in trips
        if trip.kind.startswith("store") and trip.delivered_ms["p50"] > (1 + MOST_ABOVE) * trip.drawn_ms["p50"]
    ]


def _report(stack: StackState, url: str) -> NetworkReport:
    # httpx takes a tenth of a second to import.
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=ANSWER_WITHIN_S)
    try:
        connection.request("GET", "/network", headers=authorization(stack.endpoints.access_key))
        return msgspec.json.decode(connection.getresponse().read(), type=NetworkReport)
    except (OSError, http.client.HTTPException, msgspec.MsgspecError) as error:
        raise HarnessError(f"the emulated network does not answer: {error}", url, f"logs: {stack.directory}") from error
    finally:
        connection.close()
