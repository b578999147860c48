"""The environments of all functions: taken for one invocation, given back warm, replaced when broken.

As many run at once as are asked for, up to the account's concurrency: a barrier among n workers needs n of them.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from harness.gateway.environment import Environment
from harness.gateway.errors import too_many_requests
from harness.gateway.functions import Function

logger = logging.getLogger(__name__)

Starter = Callable[[Function], Awaitable[Environment]]


class Preparations(Protocol):
    """What makes environments start quickly."""

    def prepare(self, function: Function) -> None:
        """To be told of a function that was created or changed."""

    def retire(self, function: Function) -> None:
        """To be told of a function that was deleted."""

    async def stop(self) -> None:
        """Ends whatever was prepared."""


class Pool:
    """Keeps environments warm between invocations.

    Args:
        start: Starts an environment.
        concurrency: Invocations that may run at once.
        idle_timeout_s: Seconds after which an idle environment is stopped.
        preparations: What makes them start quickly; None when nothing does.
    """

    def __init__(
        self, start: Starter, *, concurrency: int, idle_timeout_s: float, preparations: Preparations | None = None
    ) -> None:
        self._start = start
        self._preparations = preparations
        self.concurrency = concurrency
        self._idle_timeout_s = idle_timeout_s
        self._idle: dict[str, list[Environment]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._revisions: dict[str, str] = {}
        self._busy: list[Environment] = []
        self._running = 0
        self._stopping: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def environment(self, function: Function) -> AsyncIterator[Environment]:
        """An environment for one invocation; it is used again only if it says so itself afterwards.

        Raises:
            LambdaApiError: The account's concurrency is used up (429).
        """
        if self._running >= self.concurrency:
            raise too_many_requests()
        self._running += 1
        self._revisions.setdefault(function.name, function.revision)
        environment: Environment | None = None
        try:
            environment = self._take_idle(function) or await self._start(function)
            self._busy.append(environment)
            yield environment
        finally:
            self._running -= 1
            if environment is not None:
                self._busy.remove(environment)
                self._give_back(environment)

    def prepare(self, function: Function) -> None:
        """Gets ready for environments of a function that was created or changed."""
        if self._preparations is not None:
            self._preparations.prepare(function)

    def retire(self, function: Function, *, successor: str) -> None:
        """Stops the idle environments of a function that was changed or deleted; busy ones go when they are done.

        Args:
            function: The function.
            successor: The revision that environments must have from now on; empty when there is none.
        """
        if successor:
            self._revisions[function.name] = successor
        else:
            self._revisions.pop(function.name, None)
            if self._preparations is not None:
                self._preparations.retire(function)
        for environment in self._idle.pop(function.name, []):
            self._stop(environment)

    async def stop(self) -> None:
        """Stops every environment, busy ones too."""
        for environment in [*self._busy, *(e for idle in self._idle.values() for e in idle)]:
            self._stop(environment)
        self._idle.clear()
        await asyncio.gather(*self._stopping, return_exceptions=True)
        if self._preparations is not None:
            await self._preparations.stop()

    def lineage_of(self, access_key: str) -> tuple[str, ...]:
        """The functions through which whoever signs with these credentials was reached; none for an outsider."""
        return next((e.lineage for e in self._busy if e.access_key == access_key), ())

    def counts(self) -> dict[str, dict[str, int]]:
        """Busy and idle environments by function."""
        names = {e.function.name for e in self._busy} | set(self._idle)
        return {
            name: {
                "busy": sum(e.function.name == name for e in self._busy),
                "idle": len(self._idle.get(name, [])),
            }
            for name in sorted(names)
        }

    def _take_idle(self, function: Function) -> Environment | None:
        idle = self._idle.get(function.name, [])
        while idle:
            environment = idle.pop()
            self._timers.pop(environment.stream).cancel()
            if environment.alive:
                return environment
            self._stop(environment)
        return None

    def _give_back(self, environment: Environment) -> None:
        current = self._revisions.get(environment.function.name) == environment.function.revision
        if not (current and environment.usable and environment.alive):
            self._stop(environment)
            return
        self._idle.setdefault(environment.function.name, []).append(environment)
        loop = asyncio.get_running_loop()
        self._timers[environment.stream] = loop.call_later(self._idle_timeout_s, self._expire, environment)

    def _expire(self, environment: Environment) -> None:
        self._idle[environment.function.name].remove(environment)
        self._stop(environment)

    def _stop(self, environment: Environment) -> None:
        timer = self._timers.pop(environment.stream, None)
        if timer is not None:
            timer.cancel()
        task = asyncio.create_task(environment.stop())
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)
