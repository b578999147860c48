"""The environments of all functions: taken for one invocation, returned warm, replaced when broken.

As many run at once as are requested, up to the account's concurrency: a barrier among n workers needs n environments.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal, Protocol

import msgspec

from harness.gateway.account import AccountLimits
from harness.gateway.environment import Environment
from harness.gateway.packages import CodeFolders
from harness.gateway.places import EnvironmentPlace
from harness.gateway.records import Function
from harness.guard import name_in

logger = logging.getLogger(__name__)


def _nothing() -> None:
    """Do nothing."""


Starter = Callable[[Function], Awaitable[Environment]]
Lost = Callable[[Environment], None]


class EnvironmentState(msgspec.Struct, frozen=True):
    """Where an environment is.

    Attributes:
        id: Its name; empty as long as it starts.
        function: The function's name.
        state: `cold` until its handler is loaded, `busy` with an invocation, or `idle`.
        since: When it took up its last invocation or its wait, seconds since the epoch.
    """

    id: str
    function: str
    state: Literal["cold", "busy", "idle"]
    since: float


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
        # Environments of provisioned concurrency: those without an invocation, by function, and all, by stream, each
        # with its function's key and what to call when it is lost.
        self._ready: dict[str, list[Environment]] = {}
        self._kept: dict[str, tuple[str, Lost]] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self._starting: dict[object, EnvironmentState] = {}
        # From the start of its sandbox to its end, whatever an environment does.
        self._alive: dict[str, Environment] = {}

    @contextlib.asynccontextmanager
    async def environment(
        self, function: Function, entered: Callable[[], None] = _nothing
    ) -> AsyncIterator[Environment]:
        """Provide an environment for one invocation; it is reused only if it reports itself usable afterwards.

        Args:
            function: The function.
            entered: Called once the invocation has its concurrency, before an environment may have to start.

        Raises:
            LambdaApiError: The account's concurrency, or the function's reserved concurrency, is used up (429).
        """
        environment = self._take_ready(function)
        leave = self._account.leave
        if environment is not None:
            self._account.enter_provisioned(function.name)
            leave = self._account.leave_provisioned
        else:
            self._account.enter(function.name)
            self._revisions.setdefault(function.key, function.revision)
        try:
            entered()
            environment = environment or self._take_idle(function) or await self._begin(function)
            environment.since = time.time()
            self._busy.append(environment)
            yield environment
        finally:
            leave(function.name)
            if environment is not None:
                self._busy.remove(environment)
                self._give_back(environment)

    def is_closed_to(self, name: str) -> bool:
        """Return whether a function's reserved concurrency is 0, so that nothing of it runs."""
        return self._account.reserved.get(name) == 0

    def concurrency_of(self, name: str) -> str:
        """Return what a function's invocations take room from: its own reservation, by its name, or "", all others'."""
        return name if name in self._account.reserved else ""

    async def provision(self, function: Function, lost: Lost) -> Environment:
        """Start an environment ahead of its first invocation, load its handler, and keep it for invocations.

        Args:
            function: The version that it runs.
            lost: Called with the environment when it has ended by itself.

        Raises:
            InitialisationError: The handler could not be loaded.
            OSError: The environment could not be started.
            TimeoutError: It was not ready in time.
        """
        environment = await self._begin(msgspec.structs.replace(function, provisioned=True))
        try:
            await environment.provision()
        except BaseException:
            await asyncio.shield(self._stop(environment))
            raise
        self._kept[environment.stream] = function.key, lost
        self._ready.setdefault(function.key, []).append(environment)
        return environment

    def dismiss(self, environment: Environment) -> None:
        """Stop an environment of provisioned concurrency, after its invocation if it is busy."""
        self._kept.pop(environment.stream, None)
        if self._take_from_ready(environment):
            self._stop(environment)

    def find_lost(self) -> None:
        """Stop the environments of provisioned concurrency that have died without an invocation."""
        for environment in [one for ready in self._ready.values() for one in ready if not one.alive]:
            self._take_from_ready(environment)
            self._lose(environment)

    def provisioned_use(self, function: str) -> tuple[int, int]:
        """Return how many environments of a function's provisioned concurrency run invocations, of how many."""
        return self._account.in_provisioned(function), self._account.allocated[function]

    def spills_over(self, function: Function) -> bool:
        """Return whether a version has provisioned concurrency, so that what runs on demand is beyond it."""
        return any(key == function.key for key, _ in self._kept.values())

    def running(self, function: str) -> int:
        """Return how many invocations of a function run."""
        return self._account.running(function)

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

    async def end_idle(self) -> None:
        """Stop all idle environments on demand, and return when they are gone; the next invocations start cold."""
        idle = [environment for environments in self._idle.values() for environment in environments]
        self._idle.clear()
        await asyncio.gather(*(self._stop(environment) for environment in idle), return_exceptions=True)
        await self.finish_stopping()

    async def end_zone(self, zone: str) -> None:
        """Stop the idle environments in a zone, and end the others with their invocations, as if the zone were lost."""
        for idle in (*self._idle.values(), *self._ready.values()):
            for environment in [one for one in idle if one.zone == zone]:
                idle.remove(environment)
                if environment.function.provisioned:
                    self._lose(environment)
                else:
                    self._stop(environment)
        # Not their handlers alone, which may have no process yet.
        await asyncio.gather(*(one.sandbox.kill() for one in self._busy if one.zone == zone))

    def remove_unneeded_code(self) -> None:
        """Request the removal of code that no version needs, once no environment runs it."""
        self._code.unneeded.set()

    async def finish_stopping(self) -> None:
        """Wait until the environments that are being stopped have ended."""
        await asyncio.gather(*self._stopping, return_exceptions=True)

    async def stop(self) -> None:
        """Stop every environment, including busy ones."""
        kinds = (self._idle, self._ready)
        for environment in [*self._busy, *(e for kind in kinds for idle in kind.values() for e in idle)]:
            self._stop(environment)
        self._idle.clear()
        self._ready.clear()
        self._kept.clear()
        await self.finish_stopping()
        if self._preparations is not None:
            await self._preparations.stop()

    def lineage_of(self, access_key: str) -> tuple[str, ...]:
        """Return the chain of functions that led to the owner of an access key; empty for an outsider."""
        name = name_in(access_key)
        return next((e.lineage for e in self._busy if e.name == name), ()) if name else ()

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the numbers of busy and idle environments by function."""
        names = {e.function.key for e in self._busy} | set(self._idle) | set(self._ready)
        return {
            name: {
                "busy": sum(e.function.key == name for e in self._busy),
                "idle": len(self._idle.get(name, [])) + len(self._ready.get(name, [])),
            }
            for name in sorted(names)
        }

    def find(self, name: str) -> Environment | None:
        """Return the environment of a name; None if it does not exist, or no longer."""
        return self._alive.get(name)

    def places(self) -> list[EnvironmentPlace]:
        """Return where each environment is: its zone, and how to tell its connections."""
        return [
            EnvironmentPlace(
                name, one.function.name, one.zone, one.sandbox.pids, one.sandbox.addresses, one.function.memory_mb
            )
            for name, one in self._alive.items()
        ]

    def states(self) -> list[EnvironmentState]:
        """Return all environments, including those that start."""
        kinds = (self._idle, self._ready)
        idle = [one for kind in kinds for environments in kind.values() for one in environments]
        return [
            *(
                EnvironmentState(one.name, one.function.name, "cold" if one.cold else "busy", one.since)
                for one in self._busy
            ),
            *(EnvironmentState(one.name, one.function.name, "idle", one.since) for one in idle),
            *self._starting.values(),
        ]

    async def _begin(self, function: Function) -> Environment:
        self._code.hold(function)
        key = object()
        self._starting[key] = EnvironmentState("", function.name, "cold", time.time())
        try:
            environment = await self._start(function)
        except BaseException:
            self._code.release(function)
            raise
        finally:
            del self._starting[key]
        self._alive[environment.name] = environment
        return environment

    async def _end(self, environment: Environment) -> None:
        try:
            await environment.stop()
        except Exception:
            logger.exception("an environment of %s did not stop cleanly", environment.function.name)
        finally:
            self._alive.pop(environment.name, None)
            self._code.release(environment.function)

    def _take_ready(self, function: Function) -> Environment | None:
        ready = self._ready.get(function.key, [])
        while ready:
            environment = ready.pop(0)
            if environment.alive:
                return environment
            self._lose(environment)
        return None

    def _take_from_ready(self, environment: Environment) -> bool:
        """Remove an environment from those without an invocation; return whether it was one."""
        ready = self._ready.get(environment.function.key, [])
        for place, one in enumerate(ready):
            if one is environment:
                del ready[place]
                return True
        return False

    def _lose(self, environment: Environment) -> None:
        _, lost = self._kept.pop(environment.stream, ("", None))
        self._stop(environment)
        if lost is not None:
            lost(environment)

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
        environment.since = time.time()
        if environment.function.provisioned:
            if environment.stream in self._kept and environment.usable and environment.alive:
                self._ready.setdefault(environment.function.key, []).append(environment)
            else:
                self._lose(environment)
            return
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
