"""The function's time limit: when a rank asks all ranks to stop, and when it asks for a checkpoint.

start                                          stop                  limit
|---- rounds ----------------------------------|-- margin -----------|
                                                 round, checkpoint, next link
"""

import time
from typing import Any

from training.exchange.frame import Flag
from training.job import Job
from training.run.telemetry import Telemetry

# Ample time to store and publish a checkpoint and to invoke the next link.
MARGIN_S = 10.0
# The margin takes no more than this share of a short limit.
MARGIN_SHARE = 0.3
# All ranks see the stop only at the end of a round.
ROUNDS_MORE = 2


class TimeLimit:
    """The time limit of one invocation.

    Args:
        context: Lambda's context.
        job: The job.
        telemetry: Has the time of the longest round.
    """

    def __init__(self, context: Any, job: Job, telemetry: Telemetry) -> None:  # noqa: ANN401 - AWS's context has no type
        self._context, self._telemetry = context, telemetry
        self._checkpoint_every_s = job.checkpoint_every_s
        self._asks_for_checkpoints = getattr(job, "worker_index", 0) == 0 and job.checkpoint_every_s > 0
        self._margin_s = min(MARGIN_S, MARGIN_SHARE * self._remaining_s())

    def signals(self, last_checkpoint: float) -> int:
        """Return the flags with which this rank enters a round: `Flag`s that ask all ranks for something.

        Args:
            last_checkpoint: When the last checkpoint was stored, on the clock of `time.monotonic`.
        """
        asked = 0
        if self._asks_for_checkpoints and time.monotonic() - last_checkpoint >= self._checkpoint_every_s:
            asked |= Flag.CHECKPOINT
        if self._remaining_s() < self._margin_s + ROUNDS_MORE * self._telemetry.longest_round_s:
            asked |= Flag.STOP
        return asked

    def _remaining_s(self) -> float:
        return float(self._context.get_remaining_time_in_millis()) / 1e3
