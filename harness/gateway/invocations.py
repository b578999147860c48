"""Invocations: synchronous ones, whose caller waits for the answer, and events, which are queued and retried.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async.html
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from typing import Any

from harness.gateway import limits
from harness.gateway.answers import Answer, sandbox_failure
from harness.gateway.attempts import AttemptBook, InvocationKind, InvocationRecord, TrackedAttempt
from harness.gateway.debugging import Debugging
from harness.gateway.errors import LambdaApiError
from harness.gateway.events.clock import EventClock
from harness.gateway.events.destinations import Condition, Destinations, EndedEvent
from harness.gateway.events.ends import EventEnds
from harness.gateway.events.journal import EventEntry, EventJournal, EventState
from harness.gateway.events.turns import Turns
from harness.gateway.faults import InvocationFaults
from harness.gateway.functions import FunctionStore
from harness.gateway.logs.metrics import Metrics
from harness.gateway.names import LATEST, Identifier, function_arn
from harness.gateway.payloads import error_object
from harness.gateway.pool import Pool
from harness.gateway.records import Function
from harness.gateway.traces import trace_of

logger = logging.getLogger(__name__)

_RESET = "the stack was reset during the invocation"
_NOT_DEBUGGED: contextlib.AbstractContextManager[None] = contextlib.nullcontext()


@dataclass(frozen=True, slots=True)
class Invocation:
    """One request to run a function.

    Attributes:
        identifier: The function, and the version or alias of it.
        payload: JSON.
        headers: Headers to forward to RIE.
        request_id: AWS's id of the request; a retried event keeps it.
        lineage: The chain of functions that led to this invocation, first caller first.
        trace: X-Ray's trace id of that chain.
        delivery: Which delivery of the event it is, from 1: Lambda may deliver an event more than once.
        grace_s: How much later than the function's time limit it is ended, s.
        retried: Whether a failed event is tried again.
    """

    identifier: Identifier
    payload: bytes
    headers: dict[str, str] = field(default_factory=dict)
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    lineage: tuple[str, ...] = ()
    trace: str = field(default_factory=lambda: trace_of(""))
    delivery: int = 1
    grace_s: float = 0.0
    retried: bool = True

    @property
    def resource(self) -> str:
        """Return the function's name, with the qualifier if there is one."""
        name, qualifier = self.identifier
        return f"{name}:{qualifier}" if qualifier else name


@dataclass(frozen=True, slots=True)
class InvocationResult:
    """An answer, the last 4 KB of its log, and the version that ran."""

    answer: Answer
    log_tail: bytes
    version: str


class Invoker:
    """Runs invocations in the pool's environments.

    Attributes:
        clock: The clock by which events wait and grow old.
        journal: Where each event is.
        attempts: Where each attempt of an invocation is.

    Args:
        functions: The account's functions; looked up again at each attempt, because a function may change.
        pool: Their environments.
        faults: The faults to inject.
        retry_time_scale: Factor on AWS's delays before an event is retried.
        destinations: Sends what follows the ends of events.
        log: Takes a function and a line of its log.
        debugging: The debug sessions.
        metrics: Lambda's own metrics.
    """

    def __init__(
        self,
        functions: FunctionStore,
        pool: Pool,
        faults: InvocationFaults,
        retry_time_scale: float,
        destinations: Destinations,
        log: Callable[[Function, str], None],
        debugging: Debugging,
        metrics: Metrics,
    ) -> None:
        self.clock, self.journal = EventClock(), EventJournal()
        self.attempts = AttemptBook()
        self._functions = functions
        self._pool = pool
        self._faults = faults
        self._scale = retry_time_scale
        self._ends = EventEnds(functions, destinations, self._accept_record)
        self._log = log
        self._debugging = debugging
        self._metrics = metrics
        self._turns = Turns()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, invocation: Invocation) -> InvocationResult:
        """Run an invocation to its end, even if the caller disconnects, because RIE must not lose its caller.

        Raises:
            LambdaApiError: The function does not exist, no concurrency is left, or all invocations were cancelled.
        """
        tracked = self._track(invocation, "request")
        task = asyncio.create_task(self._run_request(invocation, tracked))
        self._keep(task)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
            raise LambdaApiError("ServiceException", 500, _RESET) from None

    async def queue(self, invocation: Invocation) -> None:
        """Accept an event; it runs, and is retried if it fails, in the background."""
        self._metrics.receive_event(invocation.identifier.name, invocation.resource)
        self._accept(invocation)
        again = await self._faults.on_event(invocation.identifier.name, invocation.payload)
        for delivery, delay_s in enumerate(again, start=2):
            self._accept(replace(invocation, delivery=delivery), delay_s)

    async def deliver(self, invocation: Invocation) -> list[InvocationRecord]:
        """Run one delivery of an event to its end, with all its attempts; return these, whole."""
        await asyncio.shield(self._accept(invocation))
        own = (invocation.request_id, invocation.delivery)
        return [one.whole() for one in self.attempts.kept() if (one.record.request_id, one.record.delivery) == own]

    async def settle(self, within_s: float) -> bool:
        """Wait until every invocation has ended, and every event with its retries; return whether all have."""
        deadline = asyncio.get_running_loop().time() + within_s
        while self._tasks and (left_s := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._tasks, timeout=left_s)
        return not self._tasks

    async def cancel_all(self) -> None:
        """Cancel all running and waiting invocations."""
        tasks, attempts = list(self._tasks), self.attempts.in_progress()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for tracked in attempts:
            tracked.drop("Cancelled", _RESET)

    def _track(self, invocation: Invocation, kind: InvocationKind) -> TrackedAttempt:
        name, request_id = invocation.identifier.name, invocation.request_id
        return self.attempts.open(name, request_id, kind, invocation.payload, delivery=invocation.delivery)

    async def _run_request(self, invocation: Invocation, tracked: TrackedAttempt) -> InvocationResult:
        try:
            return await self._run(invocation, tracked)
        except LambdaApiError as error:
            if error.status == HTTPStatus.TOO_MANY_REQUESTS:
                tracked.throttle(error.type_)
            else:
                tracked.drop(error.type_, str(error))
            raise

    async def _run(self, invocation: Invocation, tracked: TrackedAttempt) -> InvocationResult:
        """Run an invocation once; an internal error becomes a failure of the invocation, as AWS reports its own errors.

        Raises:
            LambdaApiError: The function does not exist, or no concurrency is left.
        """
        identifier = self._functions.routed(invocation.identifier)
        function = self._functions.find(identifier)
        started, attempt = False, tracked.record.attempt
        try:
            await self._faults.before_start(function.name, invocation.payload, attempt)
            async with self._debugging.hold(function, invocation.payload) as hold:
                if hold is not None:
                    await self._debugging.prepare(hold, self._functions.find(identifier))
                # Look it up again: there is no `await` between this and the environment's hold on the code.
                function = self._functions.find(identifier)
                function = hold.variant(function) if hold is not None else function
                async with self._pool.environment(function, partial(tracked.begin, function.version)) as environment:
                    started = True
                    tracked.enter(environment.name, cold=environment.cold)
                    running = self._pool.running(function.name)
                    self._metrics.start_invocation(function.name, invocation.resource, running)
                    if environment.function.provisioned:
                        use = self._pool.provisioned_use(function.name)
                        self._metrics.start_provisioned(function.name, invocation.resource, *use)
                    elif self._pool.spills_over(function):
                        self._metrics.spill_over(function.name, invocation.resource)
                    environment.lineage = (*invocation.lineage, function.name)
                    self._faults.impair(environment, invocation.identifier, invocation.request_id)
                    with (
                        self._faults.running(invocation.payload, environment, attempt),
                        hold.running(environment) if hold is not None else _NOT_DEBUGGED,
                    ):
                        answer = await environment.invoke(
                            invocation.request_id,
                            invocation.payload,
                            invocation.headers,
                            arn=function_arn(*invocation.identifier),
                            trace=invocation.trace,
                            grace_s=invocation.grace_s,
                        )
                    tracked.finish(answer, environment.report)
                    self._metrics.invocation(
                        function.name,
                        invocation.resource,
                        failed=answer.error is not None,
                        duration_ms=tracked.record.duration_ms,
                    )
                    return InvocationResult(answer, environment.tail, function.version)
        except LambdaApiError as error:
            if error.status == HTTPStatus.TOO_MANY_REQUESTS:
                self._metrics.throttle(function.name, invocation.resource)
                self.attempts.refuse(function.name)
            raise
        except Exception as error:
            # Catch everything: an exception that ended this task would lose the invocation silently.
            logger.exception("invocation %s of %s failed", invocation.request_id, function.name)
            cause = str(error) or type(error).__name__
            line = f"RequestId: {invocation.request_id} Error: "
            line += cause if started else f"the environment did not start: {cause}"
            self._log(function, line)
            answer = sandbox_failure(line)
            tracked.finish(answer, None)
            return InvocationResult(answer, line.encode(errors="replace"), function.version)
        finally:
            if started:
                self._turns.pass_on(self._pool.concurrency_of(function.name))

    def _accept(self, invocation: Invocation, delay_s: float = 0.0) -> asyncio.Task[None]:
        entry = self.journal.open(invocation.request_id, invocation.identifier, invocation.payload)
        task = asyncio.create_task(self._run_event(invocation, entry, delay_s))
        # A task that is cancelled before it has begun does not run any of its own code.
        task.add_done_callback(lambda _: self.journal.close(entry))
        self._keep(task)
        return task

    async def _run_event(self, invocation: Invocation, entry: EventEntry, delay_s: float) -> None:
        tracked = self._track(invocation, "event")
        await asyncio.sleep(delay_s)
        accepted = self.clock.now()
        failures, throttled = 0, 0
        last: InvocationResult | None = None
        while True:
            if self._pool.is_closed_to(invocation.identifier.name):
                logger.warning("event %s of %s was given up", invocation.request_id, invocation.identifier.name)
                tracked.give_up("ZeroReservedConcurrency")
                await self._end(invocation, entry, "ZeroReservedConcurrency", failures, None)
                return
            begun = self.clock.now()
            self.journal.begin_attempt(entry, begun)
            self._metrics.start_event(invocation.identifier.name, invocation.resource, begun - accepted)
            try:
                last = await self._run(invocation, tracked)
            except LambdaApiError as error:
                self.journal.throttle_attempt(entry)
                if error.status != 429:
                    logger.warning(
                        "event %s of %s was dropped: %s", invocation.request_id, invocation.identifier.name, error
                    )
                    tracked.drop(error.type_, str(error))
                    self.journal.set_state(entry, "dropped", condition=error.type_)
                    return
                delay = min(limits.THROTTLED_FIRST_DELAY_S * 2**throttled, limits.THROTTLED_LONGEST_DELAY_S)
                throttled += 1
                has_run = False
            else:
                if last.answer.error is None:
                    await self._end(invocation, entry, "Success", failures + 1, last)
                    return
                self._record_failure(entry, last)
                delay = limits.RETRY_DELAYS_S[min(failures, 1)]
                failures += 1
                has_run = True
            events = self._functions.events.of(invocation.identifier)
            # An attempt takes no time of a stopped clock, even if that is set forward while the attempt runs.
            due = (begun if self.clock.stopped else self.clock.now()) + delay * self._scale
            exhausted = not invocation.retried or failures > events.max_retries
            too_old = due - accepted > events.max_age_s
            if not exhausted and not too_old:
                state: EventState = "waiting" if has_run else "throttled"
                self.journal.set_state(entry, state, due=due)
                tracked = tracked.wait(due - self.clock.now())
                name = invocation.identifier.name
                turn = None if has_run else self._turns.join(self._pool.concurrency_of(name))
                await self.clock.sleep_until(due, at_most_real=not has_run, woken=turn)
                continue
            logger.warning("event %s of %s was given up", invocation.request_id, invocation.identifier.name)
            condition: Condition = "RetriesExhausted" if exhausted else "EventAgeExceeded"
            tracked.give_up(condition)
            await self._end(invocation, entry, condition, failures, last)
            return

    def _record_failure(self, entry: EventEntry, last: InvocationResult) -> None:
        error = error_object(last.answer.payload) or {}
        self.journal.fail_attempt(entry, str(error.get("errorType", "")), str(error.get("errorMessage", "")))

    async def _end(
        self,
        invocation: Invocation,
        entry: EventEntry,
        condition: Condition,
        tries: int,
        last: InvocationResult | None,
    ) -> None:
        """Send what follows an event's end; whoever sees the end then finds it."""
        name, qualifier = invocation.identifier
        if condition != "Success":
            self._metrics.drop_event(name, invocation.resource)
        try:
            role = self._functions.find(Identifier(name, "")).role
        except LambdaApiError:
            # It was deleted meanwhile, and its settings with it.
            role = limits.ANY_ROLE
        ended = EndedEvent(
            request_id=invocation.request_id,
            function=name,
            role=role,
            arn=function_arn(name, qualifier or LATEST),
            condition=condition,
            tries=tries,
            payload=invocation.payload,
            version=last.version if last else LATEST,
            answer=last.answer if last else None,
            trace=invocation.trace,
            lineage=invocation.lineage,
        )
        await self._ends.follow(invocation.identifier, ended)
        self.journal.set_state(entry, "succeeded" if condition == "Success" else "given_up", condition=condition)

    def _accept_record(self, identifier: Identifier, content: bytes, ended: EndedEvent) -> None:
        """Accept the record of an event as an event of the function that is its destination."""
        invocation = Invocation(identifier, content, lineage=(*ended.lineage, ended.function), trace=ended.trace)
        self._metrics.receive_event(identifier.name, invocation.resource)
        self._accept(invocation)

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
