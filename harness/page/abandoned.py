"""Runs that have ended and that no command keeps, because they were invoked by hand: the page keeps them."""

import asyncio
import logging
import time
from collections.abc import Iterable

from botocore.exceptions import BotoCoreError, ClientError

from harness.errors import HarnessError
from harness.runs.harvest import harvest
from harness.runs.places import stack_place
from harness.settings import Settings
from training.errors import TrainingError

logger = logging.getLogger(__name__)

# The command that follows a run keeps it within this time, and knows more about it.
LEFT_FOR_S = 10.0
AGAIN_AFTER_S = 60.0


class AbandonedRuns:
    """Keeps ended runs of the stack that `harness up` started.

    Args:
        settings: The project's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ended: dict[str, float] = {}
        self._keeping: asyncio.Task[None] | None = None

    def keep(self, ended: Iterable[str]) -> None:
        """Keep runs that ended some time ago, in a thread; those that cannot be kept are tried again after a while.

        Args:
            ended: The runs that have ended and are not kept.
        """
        now = time.monotonic()
        self._ended = {run_id: self._ended.get(run_id, now + LEFT_FOR_S) for run_id in ended}
        due = [run_id for run_id, at in self._ended.items() if at <= now]
        if due and (self._keeping is None or self._keeping.done()):
            self._ended |= dict.fromkeys(due, now + AGAIN_AFTER_S)
            self._keeping = asyncio.create_task(asyncio.to_thread(self._harvest))

    def _harvest(self) -> None:
        try:
            target = stack_place(self._settings)
            if target is not None:
                harvest(self._settings, target, logger.warning)
        except (HarnessError, TrainingError, BotoCoreError, ClientError) as error:
            logger.warning("runs cannot be kept: %s", error)
