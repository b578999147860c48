"""The plain wait: it polls ever less often, up to a deadline. Failures and damaged frames are errors."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from training.errors import DamagedFrame, RanksMissing
from training.exchange.channel.base import ReceiveBuffer
from training.exchange.clock import Clock
from training.exchange.keys import Place


class Wait:
    """A plain wait.

    Args:
        poll: Returns the values that are there of some keys, received into buffers where there are any.
        clock: What it goes by.
        run_id: The run.
        place: What it waits for.
        timeout_s: How long at most.
        delays: Seconds between its polls.
    """

    def __init__(
        self,
        poll: Callable[[list[str], Mapping[str, ReceiveBuffer] | None], dict[str, Any]],
        clock: Clock,
        run_id: str,
        place: Place,
        timeout_s: float,
        delays: Iterator[float],
    ) -> None:
        self._poll, self._clock, self._run_id, self._place = poll, clock, run_id, place
        self._timeout_s, self._delays = timeout_s, delays
        self._started = clock.now()

    def poll(self, keys: list[str], buffers: Mapping[str, ReceiveBuffer] | None = None) -> Mapping[str, Any]:
        """Return the values that are there of these keys.

        Raises:
            RunAborted: A rank gave the run up.
            ChannelError: The channel is not reachable.
        """
        return self._poll(keys, buffers)

    def damaged(self, error: DamagedFrame) -> None:
        """Raise: nobody stores a damaged frame again.

        Raises:
            DamagedFrame: Always.
        """
        raise error

    def pause(self, missing: Iterable[int], *, progress: bool, more: bool = False) -> bool:
        """Wait a little, unless more is there already; return whether to start over, which is never needed here.

        Raises:
            RanksMissing: The deadline passed; the error names who is missing.
        """
        waited = self._clock.now() - self._started
        if waited >= self._timeout_s:
            raise RanksMissing(self._run_id, self._place.round, self._place.step, sorted(missing), waited)
        if not (progress and more):
            self._clock.pause(min(next(self._delays), self._timeout_s - waited))
        return False

    def over(self) -> None:
        """Do nothing: everything is there."""
