"""An execution environment: one RIE with one runtime behind it, for one invocation at a time.

RIE crashes on overlapping invocations and when its caller disconnects, so an environment belongs to one invocation
until that has ended, whatever the caller does.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from signal import Signals

from harness.faults.plan import How
from harness.gateway.answers import EXITED, LATE, OUT_OF_MEMORY, SILENT, TIMED_OUT, Answer, failure
from harness.gateway.connection import HttpConnection
from harness.gateway.credentials import environment_name
from harness.gateway.experiments import Impairment
from harness.gateway.feed import FunctionLog
from harness.gateway.initialisation import AHEAD_WITHIN_S, INIT_WITHIN_S, Initialised, initialise, load_ahead
from harness.gateway.logs.output import Lines, RieLines, Tail, at_level, readable
from harness.gateway.logs.report_lines import Phase, Report, Status, SystemLines
from harness.gateway.payloads import error_object, raised_by_runtime
from harness.gateway.records import Function
from harness.gateway.sandbox import Sandbox
from harness.presets.zones import ZONES

logger = logging.getLogger(__name__)

# Takes the function and the name of its log stream.
SandboxStarter = Callable[[Function, str], Awaitable[Sandbox]]

RIE_PATH = "/2015-03-31/functions/function/invocations"
# RIE enforces the function's time limit; this much later, the gateway considers RIE dead.
RIE_GRACE_S = 5.0
# How long the last lines of an invocation may arrive after its answer.
OUTPUT_WITHIN_S = 2.0
# After a death, the output is complete once none has arrived for this long.
QUIET_S = 0.25
_LONGEST_QUOTE = 200

_TOLD_TIMEOUT = re.compile(rb"^Task timed out after [\d.]+ seconds$")


_WARM = Initialised()


@dataclass
class Environment:
    """One environment of one function."""

    function: Function
    sandbox: Sandbox
    rie: HttpConnection
    log: FunctionLog
    stream: str
    zone: str = ZONES[0]
    usable: bool = True
    invocations: int = 0
    start_s: float = 0.0
    since: float = field(default_factory=time.time)
    report: Report | None = None
    lineage: tuple[str, ...] = ()
    impairment: Impairment | None = None
    on_lines: Callable[[str], None] | None = None
    watch: Callable[[bytes], None] | None = None
    _lines: Lines = field(default_factory=Lines)
    _rie_lines: RieLines = field(default_factory=RieLines)
    _tail: Tail = field(default_factory=Tail)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _error_logged: bool = False
    _end: How | None = None
    _silent: bool = False
    _initialised: bool = False
    _used_mb: int = 0
    _limit: asyncio.Timeout | None = None

    def __post_init__(self) -> None:
        self._system = SystemLines(self.function, self.stream, self.function.initialization)
        self._error_mark = '"level": "ERROR"' if self.function.logging.is_json else "[ERROR] "

    async def invoke(
        self,
        request_id: str,
        payload: bytes,
        headers: dict[str, str],
        *,
        arn: str = "",
        trace: str = "",
        grace_s: float = 0.0,
    ) -> Answer:
        """Run one invocation to its end and write its log.

        Args:
            request_id: The function's `aws_request_id`.
            payload: JSON.
            headers: Further headers for RIE (client context).
            arn: ARN of the invoked function, with the qualifier.
            trace: The function's `_X_AMZN_TRACE_ID`.
            grace_s: How much later than its time limit the invocation is ended, s; the function does not know.
        """
        self._tail.clear()
        self.log.begin(request_id)
        if self.sandbox.shares_output:
            self._rie_lines.begin(request_id)
        self._error_logged = False
        self.usable = False  # until this invocation has ended: a cancelled one leaves RIE in an unknown state
        self._end = None
        self.sandbox.thaw()
        begun = _WARM if self._initialised else await self._initialise(request_id)
        self._initialised = True
        self._write(self._system.start(request_id))
        started = time.perf_counter()
        answer = begun.failure
        if answer is None:
            left_s = self.function.timeout_s - begun.spent_s
            answer = LATE
            if not begun.timed_out:
                headers = {**headers, **self.sandbox.headers(arn, trace, time.time() + left_s)}
                post = partial(self._post, request_id, payload, headers)
                left_s += grace_s
                answer = await (self.impairment.apply(post, left_s, self._write) if self.impairment else post(left_s))
        seconds = begun.spent_s + time.perf_counter() - started
        if answer is LATE:
            # Measure now, because the runtime must not continue.
            await self._measure_memory()
            await self.sandbox.kill()
        complete = await self._drain_output(alive=answer.usable)
        answer = self._as_aws(answer, request_id, complete=complete, seconds=seconds)
        if answer is SILENT:
            answer = self._runtime_exit(request_id)
        await self._measure_memory()
        if self._planned_end() == "exit":
            answer = failure(EXITED, f"RequestId: {request_id} Error: Runtime exited with error: exit status 1")
        self._report(request_id, answer, seconds, begun.init_ms)
        self.invocations += 1
        self.usable = answer.usable
        # A debugger stays connected between invocations.
        if answer.usable and self.function.debugger is None:
            # The answer, the log and the memory are complete: freeze the function until the next invocation.
            self.sandbox.freeze()
        return answer

    async def provision(self) -> None:
        """Load the handler ahead of the first invocation, then wait for it as between two invocations.

        A container whose image starts its own runtime loads the handler in its first invocation all the same.

        Raises:
            InitialisationError: The handler could not be loaded.
        """
        self._initialised = True
        self._write(self._system.init_start(), in_tail=False)
        if self.sandbox.managed:
            within_s = max(AHEAD_WITHIN_S, float(self.function.timeout_s))
            await load_ahead(lambda: self._load(str(uuid.uuid4()), within_s), self._record_phase)
            await self._measure_memory()
            self.sandbox.freeze()

    @property
    def tail(self) -> bytes:
        """Return the last 4 KB of the current invocation's log."""
        return self._tail.content

    @property
    def name(self) -> str:
        """Return the environment's name, which is part of the access key that its function signs requests with."""
        return environment_name(self.stream)

    @property
    def cold(self) -> bool:
        """Return whether the first invocation has yet to load the handler."""
        return not self._initialised

    @property
    def alive(self) -> bool:
        """Return whether the environment could take an invocation."""
        return self.sandbox.alive

    # A method, because mypy would assume that `_end` is still None after `invoke` has reset it.
    def _planned_end(self) -> How | None:
        return self._end

    async def kill(self, how: How) -> None:
        """Kill the handler's process in the middle of its work, for a fault plan.

        Args:
            how: Which failure to imitate. We can only send SIGKILL; for `exit` and `oom`, the error text and the
                reported memory are adjusted to match AWS.
        """
        self._end = how
        await self.sandbox.signal(Signals.SIGKILL)

    def expire(self) -> None:
        """End the invocation as if the function's time limit had passed now; nothing happens between two."""
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def stop(self) -> None:
        """Stop the sandbox."""
        # The end of an idle function is silent on AWS; in a container, its runtime complains that RIE is gone.
        self._silent = self.usable and self.sandbox.shares_output
        self.rie.close()
        await self.sandbox.stop()
        if not self._silent:
            self._write_function_lines(self._lines.end())

    def read_output(self) -> None:
        """Start to forward the function's output to its log."""
        self.sandbox.read_output(self._take)

    async def _initialise(self, request_id: str) -> Initialised:
        """Write the log of a cold start, and load the handler if that is possible before an invocation."""
        self._write(self._system.init_start(), in_tail=False)
        if not self.sandbox.managed:
            return Initialised(init_ms=1e3 * self.start_s)
        timeout_s = float(self.function.timeout_s)
        # Breakpoints may be in the module itself.
        within_s = INIT_WITHIN_S if self.function.debugger is None else timeout_s

        async def load() -> Answer | None:
            return await self._load(request_id, within_s + timeout_s)

        begun = await initialise(load, self._record_phase, within_s=within_s, timeout_s=timeout_s)
        await self._measure_memory()
        return begun

    async def _load(self, request_id: str, timeout_s: float) -> Answer | None:
        """Load the handler; return why it could not be."""
        answer = await self._post(request_id, b"{}", self.sandbox.initialising_headers(), timeout_s)
        if answer is SILENT:
            return self._runtime_exit(request_id)
        return answer if answer.error is not None else None

    def _record_phase(self, phase: Phase, seconds: float, status: Status, error_type: str = "") -> None:
        """Log the end of a phase of the initialisation, and what the function has printed during it."""
        self.sandbox.drain_output()
        self._write_function_lines(self._lines.end())
        self._write(self._system.init_end(phase, 1e3 * seconds, status, error_type))

    async def _post(self, request_id: str, payload: bytes, headers: dict[str, str], timeout_s: float) -> Answer:
        managed = self.sandbox.managed
        headers = {"X-Amzn-RequestId": request_id, **headers}
        try:
            # A time of its own, because `expire` may end it sooner.
            async with asyncio.timeout(None) as self._limit:
                limit_s = timeout_s + (0.0 if managed else RIE_GRACE_S)
                response = await self.rie.post(RIE_PATH, payload, headers, limit_s)
        except (OSError, TimeoutError) as error:
            if managed and isinstance(error, TimeoutError):
                return LATE
            message = f"RequestId: {request_id} Error: the execution environment is gone ({type(error).__name__})"
            return failure(EXITED, message)
        finally:
            self._limit = None
        if response.status != HTTPStatus.OK:
            if error_object(response.body):
                return Answer(response.body, "Unhandled", usable=False)
            if not response.body:
                return SILENT
            quote = f"RIE answered {response.status}: {response.body[:_LONGEST_QUOTE].decode(errors='replace')!r}"
            logger.warning("%s: %s", self.function.name, quote)
            return failure(EXITED, f"RequestId: {request_id} Error: {quote}")
        return Answer(response.body)

    def _runtime_exit(self, request_id: str) -> Answer:
        """Return the answer for a runtime that ended during its start, which RIE's own answer does not mention."""
        reason = self.sandbox.exit_reason()
        if not reason:
            reason = "RIE answered with an error and no body"
            logger.warning("%s: %s", self.function.name, reason)
        return failure(EXITED, f"RequestId: {request_id} Error: {reason}")

    def _as_aws(self, answer: Answer, request_id: str, *, complete: bool, seconds: float) -> Answer:
        """Return the answer as AWS gives it: RIE answers 200 when a handler raised, and when its time was up.

        A handler may *return* such a body.
        So an error must carry this invocation's id, and the runtime must have logged it too, as far as the log is
        complete; and a timeout is believed only after the time limit.
        """
        told = not self.sandbox.managed and _TOLD_TIMEOUT.match(answer.payload) and seconds >= self.function.timeout_s
        if answer is LATE or (answer.error is None and told):
            words = f"Task timed out after {self.function.timeout_s:.2f} seconds"
            return failure(TIMED_OUT, f"RequestId: {request_id} Error: {words}")
        if answer.error is not None:
            return answer
        if raised_by_runtime(answer.payload, request_id) and (self._error_logged or not complete):
            return Answer(answer.payload, "Unhandled")
        return answer

    def _report(self, request_id: str, answer: Answer, seconds: float, init_ms: float | None) -> None:
        """Write the end of an invocation to the log, and keep its figures."""
        status, error_type = answer.status, answer.error_type if answer.status == "error" else ""
        # Only the used memory tells a lack of memory from any other SIGKILL.
        starved = self._planned_end() == "oom" or self._used_mb >= self.function.memory_mb
        if starved and b"signal: killed" in answer.payload and not answer.usable:
            error_type, self._used_mb = OUT_OF_MEMORY, self.function.memory_mb
        limit_ms = 1e3 * self.function.timeout_s
        report = Report(
            duration_ms=limit_ms if status == "timeout" else min(1e3 * seconds, limit_ms),
            init_ms=init_ms,
            memory_mb=self.function.memory_mb,
            used_mb=self._used_mb,
            status=status,
            error_type=error_type,
        )
        self.report = report
        self._write(self._system.end(request_id, report, len(answer.payload)), urgent=True)

    async def _measure_memory(self) -> None:
        """Keep the sandbox's peak memory; the last one measured counts if it cannot be, as after a death."""
        try:
            self._used_mb = max(self._used_mb, await self.sandbox.max_memory_mb())
        except OSError:
            logger.exception("%s: the memory of an environment cannot be measured", self.function.name)

    async def _drain_output(self, *, alive: bool) -> bool:
        """Log the rest of the function's output, however it ended; return whether the log is certainly complete."""
        self.sandbox.drain_output()
        complete = True
        if not self.sandbox.shares_output or (self.impairment and self.impairment.prevents):
            pass
        elif alive:
            complete = await _within(OUTPUT_WITHIN_S, self._rie_lines.ended)
        else:
            await self._read_to_the_death()
            complete = False
        self._write_function_lines(self._lines.end() + self._rie_lines.end())
        return complete

    async def _read_to_the_death(self) -> None:
        """Log the output of a runtime that has died: RIE writes no END after it, but an error that gives the reason."""
        deadline = time.monotonic() + OUTPUT_WITHIN_S
        self._arrived.clear()
        while time.monotonic() < deadline:
            arrives = await _within(QUIET_S, self._arrived)
            self._arrived.clear()
            # RIE's error is behind all that the runtime wrote to standard error. Standard output is another pipe of the
            # engine's, which a busy one may read later.
            if not arrives and (self.sandbox.exit_reason() or not self.sandbox.alive):
                return

    def _take(self, chunk: bytes) -> bool:
        """Log a chunk of output; return whether there is room for more."""
        self._arrived.set()
        if self._silent:
            return True
        if self.watch is not None:
            self.watch(chunk)
        text = self._lines.add(chunk)
        if self.sandbox.shares_output:
            text = self._rie_lines.add(text)
        self._write_function_lines(text)
        if not self.log.full:
            return True
        self.log.when_room(self.sandbox.resume_output)
        return False

    def _write_function_lines(self, text: str) -> None:
        if not text:
            return
        # The error may follow output without a line end, so look anywhere in the text.
        self._error_logged = self._error_logged or self._error_mark in text
        if self.function.logging.is_json:
            text = at_level(text, self.function.logging)
        if self.on_lines is not None:
            self.on_lines(text)
        self._write(text)

    def _write(self, text: str, *, urgent: bool = False, in_tail: bool = True) -> None:
        if in_tail:
            self._tail.add(readable(text))
        if text or urgent:
            self.log.write(text, urgent=urgent)


async def _within(seconds: float, event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
