"""What tests may do with the Lambda service: reset it, set the clock of events forward, follow events, flush logs.

    POST /_harness/reset         no functions, no events, no logs; settings for the tests to come
    GET  /_harness/events        the journal of events, at once or when it has changed
    POST /_harness/clock         set the clock of events forward, step by step
    POST /_harness/logs/flush    answers when all lines so far are in CloudWatch Logs
    POST /_harness/metrics/flush answers when all figures so far are in CloudWatch

As for every path below /_harness/, the guard refuses functions.
"""

import asyncio
import math
import time
from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from harness.gateway.errors import LambdaApiError
from harness.gateway.events.journal import EventEntry
from harness.gateway.names import Identifier
from harness.gateway.requests import decode
from harness.gateway.services import Services, services_of

_LONGEST_WAIT_S = 60.0
# Events that run while another one is due are given so long to end first.
STALLED_AFTER_S = 1.0
# Changes come in groups; one answer for each would make a long journal slow.
_COLLECT_S = 0.005


class ResetRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the service is after a reset.

    Attributes:
        stopped_clock: Whether the clock of events moves only when it is set forward.
        keep_events: How many ended events the journal keeps.
    """

    stopped_clock: bool = False
    keep_events: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0


class ClockRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A step of the clock of events.

    Attributes:
        seconds: How far; None for the time until the first event that waits is due.
        within_s: How long the attempts that become due may take, seconds of real time.
    """

    seconds: Annotated[float, msgspec.Meta(ge=0, le=31_536_000)] | None
    within_s: Annotated[float, msgspec.Meta(gt=0, le=3_600)] = 60.0


class ClockReading(msgspec.Struct, frozen=True):
    """The clock of events.

    Attributes:
        now: Seconds since the reset.
        stopped: Whether it moves only when it is set forward.
        next_due: When the first event that waits is due; None if none waits.
    """

    now: float
    stopped: bool
    next_due: float | None


class JournalReading(msgspec.Struct, frozen=True):
    """The journal of events.

    Attributes:
        version: Increases with each change.
        clock: The clock of events.
        events: The events in the order in which they were accepted.
    """

    version: int
    clock: ClockReading
    events: list[EventEntry]


def test_routes() -> list[Route]:
    """Return the routes."""
    return [
        Route("/_harness/reset", _reset, methods=["POST"]),
        Route("/_harness/events", _events, methods=["GET"]),
        Route("/_harness/clock", _set_clock_forward, methods=["POST"]),
        Route("/_harness/logs/flush", _flush_logs, methods=["POST"]),
        Route("/_harness/metrics/flush", _flush_metrics, methods=["POST"]),
    ]


async def _reset(request: Request) -> Response:
    wanted = decode(await request.body() or b"{}", ResetRequest)
    await reset(services_of(request), wanted)
    return Response(status_code=204)


async def reset(services: Services, wanted: ResetRequest) -> None:
    """Remove all functions, events and faults; return when no process of theirs is left that could call a service."""
    await services.mappings.clear()
    services.functions.signing.configs.clear()
    # Functions go first, so that no invocation begins while others are cancelled.
    for function in services.functions.all():
        for deleted in services.functions.delete(Identifier(function.name, "")):
            services.pool.retire(deleted, successor="")
        services.provisioned.forget(Identifier(function.name, ""))
    await services.invoker.cancel_all()
    await services.pool.finish_stopping()
    services.faults.clear()
    services.call_faults.put(())
    services.account.restore()
    services.layers.delete_all()
    await services.logs.forget()
    await services.metrics.forget()
    clock, journal = services.invoker.clock, services.invoker.journal
    if wanted.stopped_clock:
        clock.stop()
    else:
        clock.start()
    journal.clear(keep=wanted.keep_events, now=clock.now())


async def _events(request: Request) -> Response:
    """Answer with the journal, as soon as its version is above `after`, at the latest after `wait_s` seconds."""
    invoker = services_of(request).invoker
    after, wait_s = request.query_params.get("after"), float(request.query_params.get("wait_s", 0))
    if after is not None:
        await invoker.journal.wait_for_change(int(after), min(wait_s, _LONGEST_WAIT_S))
        await asyncio.sleep(_COLLECT_S)
    return Response(msgspec.json.encode(_reading(services_of(request))), media_type="application/json")


async def _set_clock_forward(request: Request) -> Response:
    wanted = decode(await request.body(), ClockRequest)
    await set_forward(services_of(request), wanted)
    return Response(msgspec.json.encode(_reading(services_of(request))), media_type="application/json")


async def set_forward(services: Services, wanted: ClockRequest) -> None:
    """Set the clock forward, from one attempt that is due to the next, so that each happens at its own time.

    An attempt takes no time of this clock: the next step begins when it has ended, or when it seems to wait itself for
    an event that is due, as at a barrier.

    Raises:
        LambdaApiError: An attempt does not end in time.
    """
    clock, deadline = services.invoker.clock, time.monotonic() + wanted.within_s
    target = math.inf if wanted.seconds is None else clock.now() + wanted.seconds
    await _settle(services, target, deadline)
    if wanted.seconds is None:
        target = clock.next_due() or clock.now()
    while (due := clock.next_due()) is not None and due <= target:
        clock.set_forward(due)
        await _settle(services, target, deadline)
    clock.set_forward(target)


async def _settle(services: Services, target: float, deadline: float) -> None:
    """Wait until each event waits or has ended, or nothing happens any more while one is due by the target."""
    clock, journal = services.invoker.clock, services.invoker.journal
    stalled_at = time.monotonic() + STALLED_AFTER_S
    while journal.working or clock.waking:
        now, due = time.monotonic(), clock.next_due()
        blocked = due is not None and due <= target and not clock.waking
        if blocked and now >= stalled_at:
            return
        if now >= deadline:
            names = ", ".join(f"{entry.function} ({entry.request_id})" for entry in journal.working[:8])
            raise LambdaApiError("RequestTimeout", 408, f"these events still run: {names}")
        before = journal.version
        await journal.wait_for_change(before, (min(stalled_at, deadline) if blocked else deadline) - now)
        if journal.version > before:
            stalled_at = time.monotonic() + STALLED_AFTER_S


def _reading(services: Services) -> JournalReading:
    clock, journal = services.invoker.clock, services.invoker.journal
    due = clock.next_due()
    reading = ClockReading(clock.now() - journal.began, clock.stopped, None if due is None else due - journal.began)
    return JournalReading(journal.version, reading, journal.entries())


async def _flush_logs(request: Request) -> Response:
    await services_of(request).logs.flush()
    return Response(status_code=204)


async def _flush_metrics(request: Request) -> Response:
    await services_of(request).metrics.flush()
    return Response(status_code=204)
