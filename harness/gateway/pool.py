"""The environments of all functions: taken for one invocation, returned warm, replaced when broken.

As many run at once as are requested, up to the account's concurrency: a barrier among n workers needs n environments.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from harness.gateway.account import AccountLimits
from harness.gateway.environment import Environment
from harness.gateway.packages import CodeFolders
from harness.gateway.records import Function
from harness.guard import name_in

logger = logging.getLogger(__name__)

Starter = Callable[[Function], Awaitable[Environment]]


class Preparations(Protocol):
    """Preparations that make environments start quickly."""

    def prepare(self, function: Function) -> None:
        """Prepare for environments of a function that was created or changed."""

    def retire(self, function: Function) -> None:
        """Stop preparing environments of a function that was deleted."""

    async def stop(self) -> None:
        """End everything that was prepared."""


class Pool:
    """Keeps environments warm between invocations.

    Args:
        start: Starts an environment.
        code: Holds the code that environments run.
        account: Counts the concurrent invocations.
        idle_timeout_s: Seconds after which an idle environment is stopped.
        preparations: Makes environments start quickly; None if nothing does.
    """

    def __init__(
        self,
        start: Starter,
        code: CodeFolders,
        account: AccountLimits,
        *,
        idle_timeout_s: float,
        preparations: Preparations | None = None,
    ) -> None:
        self._start = start
        self._code = code
        self._preparations = preparations
        self._account = account
        self._idle_timeout_s = idle_timeout_s
        self._idle: dict[str, list[Environment]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._revisions: dict[str, str] = {}
        self._busy: list[Environment] = []
        self._stopping: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def environment(self, function: Function) -> AsyncIterator[Environment]:
        """Provide an environment for one invocation; it is reused only if it reports itself usable afterwards.

        Raises:
            LambdaApiError: The account's concurrency, or the function's reserved concurrency, is used up (429).
        """
        self._account.enter(function.name)
        self._revisions.setdefault(function.key, function.revision)
        environment: Environment | None = None
        try:
            environment = self._take_idle(function) or await self._begin(function)
            self._busy.append(environment)
            yield environment
        finally:
            self._account.leave(function.name)
            if environment is not None:
                self._busy.remove(environment)
                self._give_back(environment)

    def prepare(self, function: Function) -> None:
        """Prepare for environments of a function that was created or changed."""
        if self._preparations is not None:
            self._preparations.prepare(function)

    def retire(self, function: Function, *, successor: str) -> None:
        """Stop the idle environments of a function that was changed or deleted; busy ones stop after their invocation.

        Args:
            function: The function.
            successor: The revision that environments must have from now on; empty if there is none.
        """
        if successor:
            self._revisions[function.key] = successor
        else:
            self._revisions.pop(function.key, None)
            if self._preparations is not None:
                self._preparations.retire(function)
        for environment in self._idle.pop(function.key, []):
            self._stop(environment)
        self.remove_unneeded_code()

    async def end(self, function: Function) -> None:
        """Stop the idle environments of a function, and return when they are gone; busy ones stop afterwards."""
        self._revisions.pop(function.key, None)
        tasks = [self._stop(environment) for environment in self._idle.pop(function.key, [])]
        await asyncio.gather(*tasks, return_exceptions=True)

    def remove_unneeded_code(self) -> None:
        """Request the removal of code that no version needs, once no environment runs it."""
        self._code.unneeded.set()

    async def finish_stopping(self) -> None:
        """Wait until the environments that are being stopped have ended."""
        await asyncio.gather(*self._stopping, return_exceptions=True)

    async def stop(self) -> None:
        """Stop every environment, including busy ones."""
        for environment in [*self._busy, *(e for idle in self._idle.values() for e in idle)]:
            self._stop(environment)
        self._idle.clear()
        await self.finish_stopping()
        if self._preparations is not None:
            await self._preparations.stop()

    def lineage_of(self, access_key: str) -> tuple[str, ...]:
        """Return the chain of functions that led to the owner of an access key; empty for an outsider."""
        name = name_in(access_key)
        return next((e.lineage for e in self._busy if e.name == name), ()) if name else ()

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the numbers of busy and idle environments by function."""
        names = {e.function.key for e in self._busy} | set(self._idle)
        return {
            name: {
                "busy": sum(e.function.key == name for e in self._busy),
                "idle": len(self._idle.get(name, [])),
            }
            for name in sorted(names)
        }

    async def _begin(self, function: Function) -> Environment:
        self._code.hold(function)
        try:
            return await self._start(function)
        except BaseException:
            self._code.release(function)
            raise

    async def _end(self, environment: Environment) -> None:
        try:
            await environment.stop()
        except Exception:
            logger.exception("an environment of %s did not stop cleanly", environment.function.name)
        finally:
            self._code.release(environment.function)

    def _take_idle(self, function: Function) -> Environment | None:
        idle = self._idle.get(function.key, [])
        while idle:
            environment = idle.pop()
            self._timers.pop(environment.stream).cancel()
            if environment.alive:
                return environment
            self._stop(environment)
        return None

    def _give_back(self, environment: Environment) -> None:
        current = self._revisions.get(environment.function.key) == environment.function.revision
        if not (current and environment.usable and environment.alive):
            self._stop(environment)
            return
        self._idle.setdefault(environment.function.key, []).append(environment)
        loop = asyncio.get_running_loop()
        self._timers[environment.stream] = loop.call_later(self._idle_timeout_s, self._expire, environment)

    def _expire(self, environment: Environment) -> None:
        self._idle[environment.function.key].remove(environment)
        self._stop(environment)

    def _stop(self, environment: Environment) -> asyncio.Task[None]:
        timer = self._timers.pop(environment.stream, None)
        if timer is not None:
            timer.cancel()
        task = asyncio.create_task(self._end(environment))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)
        return task
