"""The stage as its users see it: started once, then reset and played again and again."""

import asyncio
import json
import threading
import time
import uuid
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import msgspec

from harness.aws.clients import clients_for, emulation_session
from harness.aws.function_deployer import DesiredFunction, create_or_update
from harness.aws.stack_session import DIRECT
from harness.emulation.environment import RESET_ROUTE
from harness.explore.records import CallRecord, Ending, EndingKind, Play
from harness.explore.schedule import Schedule
from harness.explore.stage.answers import StageAnswer
from harness.explore.stage.cache import StageCache
from harness.explore.stage.connections import Connections
from harness.explore.stage.direction import Direction
from harness.explore.stage.preparation import Prepare, prepare_with
from harness.explore.stage.proxy import Address, StageProxy, listen, send
from harness.explore.stage.requests import StageRequest
from harness.explore.stage.service_control import SnapshotControl, StageGateway
from harness.gateway.answers import EXITED, OUT_OF_MEMORY, TIMED_OUT
from harness.gateway.attempts import InvocationRecord
from harness.gateway.limits import RETRY_DELAYS_S
from harness.gateway.metadata_endpoint import METADATA_PATH
from harness.gateway.runtime.bootstrap import CONNECTIONS
from harness.gateway.staging import DeliveryRequest
from harness.guard import authorization
from harness.runs.callees import make_callees
from harness.runs.deployment import FunctionToDeploy, Source, deployment_of
from harness.settings import PortSettings, Settings
from harness.stack.control import start_private_stack
from harness.stack.memcached import memcached_service
from harness.stack.packages import ensure_memcached
from harness.stack.plan import Log
from harness.stack.state import StackState
from harness.system.ports import LOOPBACK

Result = TypeVar("Result")

# A call that the service's own SDK would retry for seconds fails at once: a schedule has no times.
_ONE_TRY = {"AWS_MAX_ATTEMPTS": "1"}
# Beyond the time limits of all attempts, each with its grace: environments start, and machines are busy.
_PATIENCE_S = 90.0
_MOST_ATTEMPTS = 3
_LONGEST_ANSWER = 2_000
_ENDING_OF = cast("dict[str, EndingKind]", {TIMED_OUT: "timed-out", EXITED: "killed", OUT_OF_MEMORY: "killed"})
# What the Lambda service does without a change of its functions.
_HARMLESS = ("Invoke", "Get", "List")


class Stage:
    """The services, the function, and the proxy.

    Args:
        settings: The project's settings.
        deployment: The function.
        prepare: Makes what the function needs.
        progress: Called with a line when something takes long.

    Attributes:
        unrestorable: The services whose state a snapshot cannot bring back, as known so far; as long as there is one,
            every reset is a fresh start of all services.
        patience_s: How much longer than its time limits a play may take, seconds; a debugger needs hours.
        reset_s: How long the last reset took, seconds.
    """

    def __init__(
        self, settings: Settings, deployment: FunctionToDeploy, prepare: Path | Prepare | None, progress: Log
    ) -> None:
        self._settings, self._deployment, self._prepare, self._progress = settings, deployment, prepare, progress
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stage", daemon=True)
        self._open = ExitStack()
        self._called: dict[str, None] = {}
        # Services whose code forks have loaded, and the last play's requests, by which it is loaded.
        self._warm: set[str] = set()
        self._sent: list[StageRequest] = []
        self._direction: Direction | None = None
        self.unrestorable: list[str] = []
        self.patience_s = _PATIENCE_S
        self.reset_s = 0.0

    def start(self) -> None:
        """Start everything, prepare, and take the snapshot."""
        self._thread.start()
        listener = listen()
        self._proxy = StageProxy(listener, self._handle)
        own = f"{LOOPBACK}:{listener.getsockname()[1]}"
        self._address, self._connections = f"http://{own}", Connections([own])
        self._run(self._listen())
        self._begin()

    def stop(self) -> None:
        """Stop everything."""
        try:
            self._open.close()
            self._run(self._hush())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def reset(self) -> None:
        """Bring the services back to their state after `prepare`, and end all environments and events."""
        begun = time.monotonic()
        if self.unrestorable:
            self._progress(f"{', '.join(self.unrestorable)}: a snapshot cannot bring its state back; starting afresh")
            self._open.close()
            self._begin()
        else:
            self._run(self._gateway.begin_afresh())
            if self._connections.used(self._cache.address):
                self._run(self._cache.empty())
            if self._called.keys() <= self._warm:
                self._snapshots.restore()
            else:
                self._warm_up()
        self.reset_s = time.monotonic() - begun

    def play(self, event: object, schedule: Schedule, *, retried: bool = True) -> Play:
        """Reset, deliver an event as a schedule says, and return when every delivery, attempt and callee has ended.

        Args:
            event: The event, as JSON can express it, or a function that makes it from what is there after the reset.
            schedule: What strikes it.
            retried: Whether Lambda tries a failed event again.

        Raises:
            HarnessError: The services do not answer, or something does not end.
        """
        begun = time.monotonic()
        self.reset()
        event = event() if callable(event) else event
        self._run(self._connections_so_far())
        direction = self._direction = Direction(schedule, str(uuid.uuid4()), self._gateway, self._send)
        try:
            endings = self._run(self._deliver(event, schedule, direction, retried=retried))
        finally:
            self._direction = None
        self._sent = direction.sent
        outside = self._run(self._connections_so_far())
        play = Play(calls=direction.calls, endings=endings, outside=outside, missed=direction.missed)
        self._note_services(play.calls)
        play.seconds = time.monotonic() - begun
        return play

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3's clients have no common type
        """Return a boto3 client of a service, past the proxy.

        Args:
            service: As for `boto3.client`.
        """
        endpoints = self._state.endpoints
        url = endpoints.lambda_ if service == "lambda" else endpoints.aws
        return self._session.client(cast("Any", service), endpoint_url=url, config=DIRECT)

    def services(self) -> list[str]:
        """Return the signing names of the services that functions have called so far."""
        return list(self._called)

    @property
    def state(self) -> StackState:
        """Return the stack behind it."""
        return self._state

    def _begin(self) -> None:
        settings = msgspec.structs.replace(
            self._settings,
            stack=msgspec.structs.replace(self._settings.stack, ports=PortSettings()),
        )
        self._state = self._open.enter_context(
            start_private_stack(
                settings,
                s3="moto",
                mode="process",
                every_service=True,
                staged_behind=self._address,
                log=self._progress,
            )
        )
        endpoints = self._state.endpoints
        self._session = emulation_session(endpoints)
        self._gateway = StageGateway(endpoints)
        self._lambda, self._others = _address_of(endpoints.lambda_), _address_of(endpoints.aws)
        self._connections.know([endpoints.memcached, endpoints.discovery])
        command = memcached_service(ensure_memcached(settings, self._progress), int(endpoints.memcached.split(":")[1]))
        self._cache = StageCache(endpoints.memcached, command.command)
        self._run(self._cache.start())
        self._open.callback(lambda: self._run(self._cache.stop()))
        self._snapshots = SnapshotControl(self._state.directory)
        self._open.callback(self._snapshots.close)
        self._warm.clear()
        self._fill()

    def _fill(self) -> None:
        """Deploy, prepare, and take the snapshot."""
        functions = clients_for(self._state.endpoints).management
        deployment, told = self._deployment, {CONNECTIONS: self._connections.name}
        variables = {**_ONE_TRY, **told, **deployment.settings.environment}
        explored = msgspec.structs.replace(deployment.settings, environment=variables)
        create_or_update(functions, DesiredFunction(deployment.name, explored, deployment.code))
        if deployment.name in self._settings.functions:
            make_callees(functions, deployment.name, self._settings, "process", log=self._progress)
        prepare_with(self._prepare, self.client)
        self.unrestorable = list(self._snapshots.take().threads)

    def _warm_up(self) -> None:
        """Have the services load, once for all forks, what the calls so far have made each fork load.

        The calls are made once more, and then everything is forgotten and filled anew.
        """
        self._snapshots.serve()
        for request in self._sent:
            if request.service != "lambda":
                self._run(self._send(request))
        self._warm |= self._called.keys()
        self._run(self._gateway.forget())
        own = authorization(self._state.endpoints.access_key)
        self._run(send(StageRequest("POST", RESET_ROUTE, tuple(own.items()), b""), self._others))
        self._fill()

    async def _deliver(self, event: object, schedule: Schedule, direction: Direction, *, retried: bool) -> list[Ending]:
        within_s = _MOST_ATTEMPTS * self._deployment.settings.timeout_s + self.patience_s

        async def deliver(number: int) -> list[Ending]:
            payload = msgspec.Raw(json.dumps(event).encode())
            request = DeliveryRequest(self._deployment.name, payload, direction.request_id, number, retried)
            try:
                attempts = await self._gateway.deliver(request, within_s)
            finally:
                direction.end(number)
            return [_ending(one) for one in attempts]

        first = asyncio.create_task(deliver(1))
        if schedule.second == "overlap":
            held = asyncio.create_task(direction.held.wait())
            await asyncio.wait([first, held], return_when=asyncio.FIRST_COMPLETED)
            held.cancel()
            endings = [one for both in await asyncio.gather(first, deliver(2)) for one in both]
        else:
            endings = await first
            if schedule.second == "after":
                endings += await deliver(2)
        await self._gateway.settle(within_s)
        return endings

    async def _listen(self) -> None:
        await self._proxy.start()
        self._connections.start()

    async def _hush(self) -> None:
        await self._proxy.stop()
        self._connections.stop()
        # Connections that functions still had, and a play that was interrupted.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connections_so_far(self) -> list[str]:
        return self._connections.take()

    async def _handle(self, request: StageRequest) -> StageAnswer | None:
        if request.path == METADATA_PATH:
            return await send(request, self._lambda)
        direction = self._direction
        return None if direction is None else await direction.handle(request)

    async def _send(self, request: StageRequest) -> StageAnswer:
        return await send(request, self._lambda if request.service == "lambda" else self._others)

    def _note_services(self, calls: list[CallRecord]) -> None:
        for call in calls:
            self._called[call.service] = None
            changes = call.service == "lambda" and not call.operation.startswith(_HARMLESS)
            if changes and "lambda" not in self.unrestorable:
                self.unrestorable.append("lambda")

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


@contextmanager
def stage_of(
    settings: Settings,
    function: str,
    *,
    source: Source | None = None,
    config: Mapping[str, Any] | None = None,
    prepare: Path | Prepare | None = None,
    retry_after_s: float = 0.0,
    progress: Log = lambda _line: None,
) -> Iterator[Stage]:
    """Start a stage for this process, and stop it at the end of the block.

    Call this in the main thread: the kernel ends the stack together with the thread that started it.

    Args:
        settings: The project's settings.
        function: The function's name: that of a table in harness.toml, or any name for a `source`.
        source: A folder, a file or a Python function; None for the function that harness.toml declares.
        config: Keys of its table in harness.toml that differ; None for none.
        prepare: Makes what the function needs; a file has a function `prepare(client)`.
        retry_after_s: Seconds until Lambda's first retry, and twice as many until the second.
        progress: Called with a line when something takes long.

    Raises:
        HarnessError: The function, its code or `prepare` is invalid, or the stack cannot start.
    """
    given = function if source is None else source
    deployment = deployment_of(settings, "process", given, name=function, config=config or {})
    # The other settings of the Lambda service are the project's; a stage needs no states that take time.
    gateway = msgspec.structs.replace(
        settings.gateway, retry_time_scale=retry_after_s / RETRY_DELAYS_S[0], state_delay_s=0.0
    )
    stage = Stage(msgspec.structs.replace(settings, gateway=gateway), deployment, prepare, progress)
    try:
        stage.start()
        yield stage
    finally:
        stage.stop()


def _address_of(url: str) -> Address:
    parts = urlsplit(url)
    return parts.hostname or LOOPBACK, parts.port or 80


def _ending(record: InvocationRecord) -> Ending:
    kind: EndingKind = _ENDING_OF.get(record.error, "raised") if record.error else "returned"
    error = f"{record.error}: {record.error_message}" if record.error else ""
    return Ending(
        delivery=record.delivery, attempt=record.attempt, kind=kind, payload=_decoded(record.answer), error=error
    )


def _decoded(answer: str) -> object:
    try:
        return json.loads(answer) if len(answer) <= _LONGEST_ANSWER else f"{answer[:_LONGEST_ANSWER]}…"
    except (ValueError, RecursionError):
        return answer
