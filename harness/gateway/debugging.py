"""Debug sessions: which invocations a debugger may hold, and what their environments get.

    harness run --debug rank=1 ---POST /_harness/debug---> a session, until that connection ends
    an invocation of a target           an environment of its own, which waits for the debugger; no time limit
    another invocation of the same run  an environment of its own, without a time limit: it waits for that rank
    any other invocation                as ever

A second delivery of a rank's event waits until the first has ended, so nobody takes the rank over from a debugger.
A session that ends takes its environments along: nobody else would ever end an invocation without a time limit.
"""

import asyncio
import contextlib
import json
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from harness.gateway.debug_records import LIFTED_S, SESSIONS, DebugChange, Debugger, DebugRequest, DebugTarget, State
from harness.gateway.environment import Environment
from harness.gateway.pool import Pool
from harness.gateway.records import Function
from harness.gateway.requests import decode

# What `runtime/debugger.py` prints.
_SAID = re.compile(rb"^debugger: (waiting|attached|raised|failed) ?(.*)$", re.MULTILINE)
_LONGEST_LINE = 1024
_NOBODY: AbstractAsyncContextManager[None] = contextlib.nullcontext()


@dataclass
class _Held:
    """A target and the invocation that it holds now.

    Attributes:
        turn: Held by an invocation of the target.
        variant: The function as its last environment ran it.
        environment: The environment that works for it.
    """

    target: DebugTarget
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    variant: Function | None = None
    environment: Environment | None = None
    unread: bytes = b""


@dataclass
class _Session:
    name: str
    request: DebugRequest
    held: list[_Held]
    changes: "asyncio.Queue[DebugChange | None]" = field(default_factory=asyncio.Queue)
    lifted: dict[str, Function] = field(default_factory=dict)

    def change(self, held: _Held, state: State, detail: str = "") -> None:
        """Report a new state of a target."""
        self.changes.put_nowait(DebugChange("", held.target.port, held.target.rank, state, detail))


@dataclass
class Hold:
    """What a session says about one invocation.

    Attributes:
        session: The session.
        held: The target that the invocation belongs to; None for another invocation of the same run.
    """

    session: _Session
    held: _Held | None

    def variant(self, function: Function) -> Function:
        """Return the function as it runs in this session: without a time limit, and with the debugger."""
        name = self.session.name if self.held is None else f"{self.session.name}.{self.held.target.port}"
        variant = msgspec.structs.replace(function, timeout_s=LIFTED_S, variant=f"{name}.{function.revision}")
        if self.held is None:
            self.session.lifted[variant.key] = variant
            return variant
        request = self.session.request
        debugger = Debugger(request.kind, self.held.target.port, request.paths, request.token)
        self.held.variant = msgspec.structs.replace(variant, debugger=debugger)
        return self.held.variant

    @contextlib.contextmanager
    def running(self, environment: Environment) -> Iterator[None]:
        """Report, within the block, how far the environment's debugger is."""
        if self.held is None:
            yield
            return
        held, session = self.held, self.session
        held.environment, held.unread = environment, b""
        environment.watch = lambda chunk: _read(session, held, chunk)
        session.change(held, "starting")
        try:
            yield
        finally:
            held.environment = environment.watch = None
            session.change(held, "ended")


def _read(session: _Session, held: _Held, chunk: bytes) -> None:
    """Report the states that a function's output tells of."""
    held.unread += chunk
    whole, end, rest = held.unread.rpartition(b"\n")
    held.unread = rest[-_LONGEST_LINE:]
    for state, detail in _SAID.findall(whole + end):
        if state == b"failed":
            session.change(held, "ended", detail.decode(errors="replace"))
        else:
            session.change(held, state.decode(), detail.decode(errors="replace"))


class Debugging:
    """The debug sessions of a stack.

    Args:
        pool: The environments of all functions.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sessions: dict[str, _Session] = {}
        self._ends: set[asyncio.Task[None]] = set()

    def hold(self, function: Function, payload: bytes) -> AbstractAsyncContextManager[Hold | None]:
        """Return a block in which an invocation runs; without a session that concerns it, it yields None."""
        for session in self._sessions.values():
            run_id = session.request.run_id
            if not run_id and function.name == session.request.function and not session.held[0].turn.locked():
                return self._turn(Hold(session, session.held[0]))
            if run_id and (owner := _owner(payload)) is not None and owner[0] == run_id:
                held = next((one for one in session.held if one.target.rank == owner[1]), None)
                return self._turn(Hold(session, held))
        return _NOBODY

    @asynccontextmanager
    async def _turn(self, hold: Hold) -> AsyncIterator[Hold | None]:
        held = hold.held
        if held is None:
            yield hold
            return
        async with held.turn:
            # The session may have ended before it was this invocation's turn.
            yield hold if hold.session.name in self._sessions else None

    async def prepare(self, hold: Hold, function: Function) -> None:
        """End an idle environment that has the target's port, and older code than the function."""
        held = hold.held
        if held is not None and held.variant is not None and held.variant.revision != function.revision:
            await self._pool.end(held.variant)

    def open(self, request: DebugRequest) -> AsyncIterator[bytes]:
        """Open a session and return its report: one line of JSON for each change."""
        name = secrets.token_hex(8)
        session = _Session(name, request, [_Held(target) for target in request.targets])
        self._sessions[name] = session
        return self._report(session)

    async def close(self, name: str) -> None:
        """End a session with all its environments."""
        session = self._sessions.pop(name, None)
        if session is None:
            return
        for held in session.held:
            if held.environment is not None:
                await held.environment.sandbox.kill()
            if held.variant is not None:
                await self._pool.end(held.variant)
        for variant in session.lifted.values():
            await self._pool.end(variant)
        session.changes.put_nowait(None)

    async def _report(self, session: _Session) -> AsyncIterator[bytes]:
        try:
            yield _line(DebugChange(session.name))
            while (change := await session.changes.get()) is not None:
                yield _line(change)
        finally:
            # The caller has gone, and this task with it.
            task = asyncio.create_task(self.close(session.name))
            self._ends.add(task)
            task.add_done_callback(self._ends.discard)


def _line(change: DebugChange) -> bytes:
    return msgspec.json.encode(change) + b"\n"


def _owner(payload: bytes) -> tuple[str, int | None] | None:
    """Return the run and the rank that an event names; None if it is not a run's."""
    content: Any = json.loads(payload)
    if not isinstance(content, dict) or not isinstance(content.get("run_id"), str):
        return None
    rank = content.get("worker_index")
    return content["run_id"], rank if isinstance(rank, int) else None


def debug_routes(debugging: Debugging) -> list[Route]:
    """Return the routes by which a command opens and ends sessions."""

    async def post(request: Request) -> Response:
        asked = decode(await request.body(), DebugRequest)
        return StreamingResponse(debugging.open(asked), media_type="application/x-ndjson")

    async def delete(request: Request) -> Response:
        await debugging.close(request.path_params["name"])
        return Response(status_code=204)

    return [Route(SESSIONS, post, methods=["POST"]), Route(SESSIONS + "/{name}", delete, methods=["DELETE"])]
