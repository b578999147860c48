"""The zones of a run's workers."""

from collections.abc import Iterable


def zones_of(ranks: Iterable[tuple[int, str]]) -> dict[str, list[int]]:
    """Return the ranks in each zone, by its ID.

    Args:
        ranks: Each rank with the ID of its zone, which is empty if unknown.
    """
    zones: dict[str, list[int]] = {}
    for rank, zone in ranks:
        if zone:
            zones.setdefault(zone, []).append(rank)
    return dict(sorted(zones.items()))
