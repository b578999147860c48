"""Zones that are lost, as a fault plan says: their environments end, and no other starts there for a while."""

import asyncio
from collections import defaultdict
from contextlib import suppress

from harness.gateway.pool import Pool
from harness.gateway.zones import Zones


class ZoneLosses:
    """The lost zones of all runs.

    Args:
        zones: The zones that environments start in.
        pool: All environments.
    """

    def __init__(self, zones: Zones, pool: Pool) -> None:
        self._zones, self._pool = zones, pool
        self._lost: defaultdict[str, list[asyncio.Task[None]]] = defaultdict(list)

    async def lose(self, run_id: str, zone: str, seconds: float | None) -> None:
        """Lose a zone, and return when the environments in it have ended; losses may overlap.

        Args:
            run_id: The run whose plan says so.
            zone: The zone.
            seconds: How long it is lost; None until `restore`.
        """
        self._zones.lose(zone)
        self._lost[run_id].append(asyncio.create_task(self._come_back(zone, seconds)))
        await self._pool.end_zone(zone)

    def restore(self, run_id: str) -> None:
        """Bring back the zones that a run had lost."""
        for task in self._lost.pop(run_id, []):
            task.cancel()

    def restore_all(self) -> None:
        """Bring back all zones."""
        for run_id in list(self._lost):
            self.restore(run_id)

    async def _come_back(self, zone: str, seconds: float | None) -> None:
        # Until a cancellation if it is not said when.
        with suppress(asyncio.CancelledError):
            if seconds is None:
                await asyncio.Event().wait()
            else:
                await asyncio.sleep(seconds)
        await self._zones.restore(zone)
