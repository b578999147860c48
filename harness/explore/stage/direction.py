"""How one schedule is played: what becomes of each call, and when each delivery begins.

call arrives --> whose is it? --> is it held? --> blow?
                                                   none          passed on, answered
                                                   kill-before   the environment ends; not passed on
                                                   kill-after    passed on, and the environment ends; not answered
                                                   error, ...    answered in the service's place
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from harness.explore.records import CallRecord
from harness.explore.schedule import Blow, Schedule, Strike
from harness.explore.stage.answers import StageAnswer, refusal_of
from harness.explore.stage.requests import StageRequest
from harness.explore.stage.service_control import StageGateway
from harness.gateway.attempts import InvocationRecord
from harness.gateway.staging import GRACE_S, KILLED, TIMED_OUT

# A delivery is not held longer than this, within its time limit: something else keeps the other one from its point.
HELD_WITHIN_S = GRACE_S - 1.0
_IN_THE_SERVICES_PLACE = frozenset({Blow.ERROR, Blow.THROTTLE})
_ENDS = {Blow.KILL_BEFORE: KILLED, Blow.KILL_AFTER: KILLED, Blow.TIME_LIMIT: TIMED_OUT}


@dataclass
class _Attempt:
    """An attempt of an invocation.

    Attributes:
        calls: Its calls so far.
        by_id: Those of them that an SDK may send again, by the id that it sends with them.
        ended: Whether a blow has ended it: its other threads may still make calls, which never arrive.
    """

    calls: list[CallRecord] = field(default_factory=list)
    by_id: dict[str, CallRecord] = field(default_factory=dict)
    ended: bool = False


class Direction:
    """One play.

    Args:
        schedule: What strikes, and how often the event is delivered.
        request_id: The request's id of the event; other invocations are those of callees.
        gateway: The Lambda service.
        send: Sends a request to its service.
    """

    def __init__(
        self,
        schedule: Schedule,
        request_id: str,
        gateway: StageGateway,
        send: Callable[[StageRequest], Awaitable[StageAnswer]],
    ) -> None:
        self._schedule, self._gateway, self._send = schedule, gateway, send
        self.request_id = request_id
        self._begun = time.monotonic()
        self._attempts: dict[tuple[str, int, int], _Attempt] = {}
        self._left = {(one.delivery, one.attempt, one.call): one for one in schedule.strikes}
        self._notes: list[str] = []
        self.calls: list[CallRecord] = []
        # What has reached a service, in order.
        self.sent: list[StageRequest] = []
        # Delivery 1 waits at its point; delivery 2 has passed its own; a delivery has ended.
        self.held, self._passed = asyncio.Event(), asyncio.Event()
        self._ended = {1: asyncio.Event(), 2: asyncio.Event()}

    @property
    def missed(self) -> list[str]:
        """Return what the schedule asked for and did not happen."""
        strikes = [
            f"delivery {one.delivery}, attempt {one.attempt} made no call {one.call}: no {one.blow}"
            for one in self._left.values()
        ]
        return [*self._notes, *strikes]

    def end(self, delivery: int) -> None:
        """Note that a delivery has ended, with all its attempts."""
        self._ended[delivery].set()
        if delivery == 2:
            self._passed.set()
        overlap = self._schedule.overlap
        if delivery == 1 and overlap is not None and not self.held.is_set():
            self._notes.append(f"delivery 1 made no call {overlap.hold} to be held at")

    async def handle(self, request: StageRequest) -> StageAnswer | None:
        """Decide about a function's call; return the answer, or None for none."""
        running = await self._gateway.running_in(request.environment)
        if running is None:
            # What an environment does after its invocation, or after its end, is not part of the play.
            return None
        attempt = self._attempts.setdefault((running.request_id, running.delivery, running.attempt), _Attempt())
        if attempt.ended:
            return None
        call = attempt.by_id.get(request.call_id) if request.call_id else None
        if call is not None:
            call.tries += 1
            return await self._again(request, call)
        call = self._new_call(request, running, attempt)
        if call.delivery and not await self._hold(request, call, running):
            return None
        call.at_s = time.monotonic() - self._begun
        self.calls.append(call)
        return await self._strike(request, call, attempt)

    def _new_call(self, request: StageRequest, running: InvocationRecord, attempt: _Attempt) -> CallRecord:
        ours = running.request_id == self.request_id
        call = CallRecord(
            delivery=running.delivery if ours else 0,
            attempt=running.attempt,
            number=len(attempt.calls) + 1,
            function=running.function,
            service=request.service,
            operation=request.operation,
            target=request.about,
            request=request.text,
        )
        attempt.calls.append(call)
        if request.call_id:
            attempt.by_id[request.call_id] = call
        return call

    async def _strike(self, request: StageRequest, call: CallRecord, attempt: _Attempt) -> StageAnswer | None:
        strike = self._take_strike(call)
        blow = call.blow = strike.blow if strike else None
        attempt.ended = blow in _ENDS
        if blow in _IN_THE_SERVICES_PLACE:
            return refusal_of(blow, request)
        answer = None
        if blow is not Blow.KILL_BEFORE:
            self.sent.append(request)
            answer = await self._send(request)
            call.status, call.effect = answer.status, answer.status < 400
        if blow in _ENDS:
            await self._gateway.end(request.environment, _ENDS[blow])
        self._pass(call)
        return answer if blow is None else None

    async def _again(self, request: StageRequest, call: CallRecord) -> StageAnswer | None:
        """Decide about a call that the SDK makes again."""
        if call.blow in _IN_THE_SERVICES_PLACE:
            return refusal_of(call.blow, request)
        if call.blow is not None:
            return None
        answer = await self._send(request)
        call.status, call.effect = answer.status, call.effect or answer.status < 400
        return answer

    def _take_strike(self, call: CallRecord) -> Strike | None:
        return self._left.pop((call.delivery, call.attempt, call.number), None) if call.delivery else None

    async def _hold(self, request: StageRequest, call: CallRecord, running: InvocationRecord) -> bool:
        """Hold a call for as long as the schedule says; return whether its attempt still runs then."""
        overlap = self._schedule.overlap
        if overlap is None or call.attempt > 1:
            return True
        if call.delivery == 1 and call.number == overlap.hold:
            self.held.set()
            awaited = self._passed
        elif call.delivery == 2 and self._passed.is_set():
            awaited = self._ended[1]
        else:
            return True
        try:
            await asyncio.wait_for(awaited.wait(), HELD_WITHIN_S)
        except TimeoutError:
            self._notes.append(f"delivery {call.delivery} was held before call {call.number} for {HELD_WITHIN_S:g} s")
        now = await self._gateway.running_in(request.environment)
        return now is not None and now.number == running.number

    def _pass(self, call: CallRecord) -> None:
        overlap = self._schedule.overlap
        if overlap is not None and call.delivery == 2 and call.attempt == 1 and call.number == overlap.until:
            self._passed.set()
