"""The zones of execution environments: each is in one zone for its life, and those of one function take turns."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from harness.presets.zones import ZONES


class Zones:
    """The zones that functions run in.

    Args:
        count: How many of `ZONES` there are.
    """

    def __init__(self, count: int = 1) -> None:
        self.ids = ZONES[:count]
        self._lost: Counter[str] = Counter()
        self._turns: Counter[str] = Counter()
        self._changed = asyncio.Condition()

    async def next_for(self, function: str, of_subnets: Sequence[str] = ()) -> str:
        """Return the zone of a function's next environment; while all zones are lost, wait until one is back.

        Args:
            function: Its name.
            of_subnets: The zones of the subnets of a function in a VPC, which take the place of the stack's own.
        """
        ids = of_subnets or self.ids
        async with self._changed:
            await self._changed.wait_for(lambda: self._left(ids))
        left = self._left(ids)
        self._turns[function] += 1
        return left[(self._turns[function] - 1) % len(left)]

    def lose(self, zone: str) -> None:
        """Start no more environments in a zone, until it was restored as often as it was lost."""
        self._lost[zone] += 1

    async def restore(self, zone: str) -> None:
        """Start environments in a zone again."""
        self._lost[zone] -= 1
        async with self._changed:
            self._changed.notify_all()

    def _left(self, ids: Sequence[str]) -> list[str]:
        return [zone for zone in ids if not self._lost[zone]]
