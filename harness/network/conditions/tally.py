"""What an emulated network has added: how long trips were to take, and how long they did, by kind and zone."""

from collections import defaultdict, deque

import msgspec
import numpy as np

# The newest trips of a kind in a zone, from which the percentiles come.
_KEPT = 20_000


class TripFigures(msgspec.Struct, frozen=True):
    """Trips of one kind from one zone.

    Attributes:
        kind: The figure of the preset that was drawn, as `store_latency`.
        zone: The zone of the functions.
        trips: How many there were.
        drawn_ms: What was drawn: p50 and p99 of the newest 20,000.
        delivered_ms: What the functions saw, likewise; without the time in which bytes waited for bandwidth.
    """

    kind: str
    zone: str
    trips: int
    drawn_ms: dict[str, float]
    delivered_ms: dict[str, float]


class Tally:
    """Counts trips."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, str], TripCounter] = defaultdict(TripCounter)

    def counter(self, kind: str, zone: str) -> "TripCounter":
        """Return the counter of trips of one kind from one zone.

        Args:
            kind: The figure that is drawn for them.
            zone: The function's zone.
        """
        return self._counters[kind, zone]

    def add(self, kind: str, zone: str, drawn_s: float, delivered_s: float) -> None:
        """Count one trip; see `TripCounter.add`."""
        self._counters[kind, zone].add(drawn_s, delivered_s)

    def figures(self) -> list[TripFigures]:
        """Return the trips so far, by kind and zone."""
        found = []
        for (kind, zone), counter in sorted(self._counters.items()):
            if counter.trips:
                drawn, delivered = (_percentiles_ms(column) for column in zip(*counter.newest, strict=True))
                found.append(TripFigures(kind, zone, counter.trips, drawn, delivered))
        return found


class TripCounter:
    """Counts trips of one kind from one zone.

    Attributes:
        trips: How many there were.
        newest: What was drawn and delivered for the newest of them, s.
    """

    def __init__(self) -> None:
        self.trips = 0
        self.newest: deque[tuple[float, float]] = deque(maxlen=_KEPT)

    def add(self, drawn_s: float, delivered_s: float) -> None:
        """Count one trip.

        Args:
            drawn_s: What was drawn, s.
            delivered_s: How long it took, s, without the time in which its bytes waited for bandwidth.
        """
        self.trips += 1
        self.newest.append((drawn_s, delivered_s))


def _percentiles_ms(seconds: tuple[float, ...]) -> dict[str, float]:
    p50, p99 = np.percentile(seconds, [50, 99])
    return {"p50": round(1e3 * float(p50), 4), "p99": round(1e3 * float(p99), 4)}
