"""An execution environment: one RIE with one runtime behind it, for one invocation at a time.

RIE crashes on overlapping invocations and when its caller goes away, so an environment belongs to one invocation
until that is over, whatever the caller does.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from signal import Signals
from typing import Protocol

from harness.faults.plan import How
from harness.gateway.connection import HttpConnection
from harness.gateway.credentials import environment_name
from harness.gateway.output import Lines, RieLines, Tail
from harness.gateway.payloads import error_object, raised_by_runtime
from harness.gateway.records import Function
from harness.gateway.sandbox import Sandbox

logger = logging.getLogger(__name__)

# Given the function and the name of its log stream.
SandboxStarter = Callable[[Function, str], Awaitable[Sandbox]]

RIE_PATH = "/2015-03-31/functions/function/invocations"
# RIE enforces the function's time limit; this much later it is taken for dead.
RIE_GRACE_S = 5.0
# The last lines of an invocation are on their way already when its answer comes.
OUTPUT_WITHIN_S = 0.5
# After a death no more output comes once none has come for so long.
QUIET_S = 0.05
_LONGEST_QUOTE = 200

_TIMED_OUT = re.compile(rb"^Task timed out after [\d.]+ seconds$")


class LogWriter(Protocol):
    """One environment's log stream."""

    @property
    def full(self) -> bool:
        """Whether so many lines wait to be sent that the function is to wait too."""

    def write(self, text: str, *, urgent: bool = False) -> None:
        """Take whole lines, each one an event; a carriage return is a line's end within one.

        Urgent ones are sent soon, with all before them.
        """

    def when_room(self, call: Callable[[], None]) -> None:
        """Call once there is room again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one invocation.

    Attributes:
        payload: The function's answer, or the error as AWS words it.
        error: AWS's `X-Amz-Function-Error`: `Unhandled`, or None on success.
        usable: Whether the environment can take another invocation.
    """

    payload: bytes
    error: str | None = None
    usable: bool = True


# RIE has answered with an error and without a body.
_SILENT = Answer(b"", "Unhandled", usable=False)


@dataclass
class Environment:
    """One environment of one function."""

    function: Function
    sandbox: Sandbox
    rie: HttpConnection
    log: LogWriter
    stream: str
    usable: bool = True
    invocations: int = 0
    init_s: float = 0.0
    lineage: tuple[str, ...] = ()
    _lines: Lines = field(default_factory=Lines)
    _rie_lines: RieLines = field(default_factory=RieLines)
    _tail: Tail = field(default_factory=Tail)
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _error_logged: bool = False
    _end: How | None = None

    async def invoke(
        self, request_id: str, payload: bytes, headers: dict[str, str], *, arn: str = "", trace: str = ""
    ) -> Answer:
        """Runs one invocation to its end and writes its log.

        Args:
            request_id: What the function sees as `aws_request_id`.
            payload: JSON.
            headers: Further headers for RIE (client context).
            arn: What was called, with the qualifier.
            trace: What the function sees as `_X_AMZN_TRACE_ID`.
        """
        self._tail.clear()
        self._rie_lines.begin(request_id)
        self._error_logged = False
        self.usable = False  # until this invocation is over: a cancelled one leaves RIE in an unknown state
        self._end = None
        self._write(f"START RequestId: {request_id} Version: {self.function.version}\n")
        self.sandbox.thaw()
        started = time.perf_counter()
        answer = await self._post(request_id, payload, {**headers, **self.sandbox.headers(arn, trace)})
        seconds = time.perf_counter() - started
        complete = await self._read_the_rest(alive=answer.usable)
        answer = self._as_aws(answer, request_id, complete=complete, seconds=seconds)
        if answer is _SILENT:
            answer = self._told_by_rie(request_id)
        memory_mb = await self._memory_used_mb()
        end = self._planned_end()
        if end == "oom":
            memory_mb = self.function.memory_mb
        elif end == "exit":
            answer = _failure(
                "Runtime.ExitError", f"RequestId: {request_id} Error: Runtime exited with error: exit status 1"
            )
        self._report(request_id, answer, seconds, memory_mb)
        self.invocations += 1
        self.usable = answer.usable
        if answer.usable:
            # The answer, the log and the memory are known: nothing of the function runs until the next invocation.
            self.sandbox.freeze()
        return answer

    @property
    def tail(self) -> bytes:
        """The last 4 KB of the current invocation's log."""
        return self._tail.content

    @property
    def name(self) -> str:
        """Its name in the access key that its function signs requests with."""
        return environment_name(self.stream)

    @property
    def alive(self) -> bool:
        """Whether it could take an invocation."""
        return self.sandbox.alive

    def _planned_end(self) -> How | None:
        return self._end

    async def kill(self, how: How) -> None:
        """Ends the handler's process in the middle of its work, for a fault plan.

        Args:
            how: Whose deed it is to look like: from outside a process can only be killed, while AWS words
                an exit of its own and reports the whole memory as used where that ran out.
        """
        self._end = how
        await self.sandbox.signal(Signals.SIGKILL)

    async def stop(self) -> None:
        """Ends its sandbox."""
        self.rie.close()
        await self.sandbox.stop()
        self._write_function_lines(self._lines.end())

    def read_output(self) -> None:
        """Begin to pass the function's output on to its log."""
        self.sandbox.read_output(self._take)

    async def _post(self, request_id: str, payload: bytes, headers: dict[str, str]) -> Answer:
        try:
            response = await self.rie.post(
                RIE_PATH, payload, {"X-Amzn-RequestId": request_id, **headers}, self.function.timeout_s + RIE_GRACE_S
            )
        except (OSError, TimeoutError) as error:
            message = f"RequestId: {request_id} Error: the execution environment is gone ({type(error).__name__})"
            return _failure("Runtime.ExitError", message)
        if response.status != HTTPStatus.OK:
            if error_object(response.body):
                return Answer(response.body, "Unhandled", usable=False)
            if not response.body:
                return _SILENT
            said = f"RIE answered {response.status}: {response.body[:_LONGEST_QUOTE].decode(errors='replace')!r}"
            logger.warning("%s: %s", self.function.name, said)
            return _failure("Runtime.ExitError", f"RequestId: {request_id} Error: {said}")
        return Answer(response.body)

    def _told_by_rie(self, request_id: str) -> Answer:
        """Return the answer when the runtime ended while it started, of which RIE says nothing in its own."""
        reason = self.sandbox.exit_reason()
        if not reason:
            reason = "RIE answered without a word"
            logger.warning("%s: %s", self.function.name, reason)
        return _failure("Runtime.ExitError", f"RequestId: {request_id} Error: {reason}")

    def _as_aws(self, answer: Answer, request_id: str, *, complete: bool, seconds: float) -> Answer:
        """Return the answer as AWS gives it: RIE answers 200 when a handler raised, and when its time was up.

        A handler may *return* such a body.
        So an error must carry this invocation's id, and the runtime must have logged it too, as far as the log is
        complete; and no time is up before the time limit.
        """
        if answer.error is not None:
            return answer
        if _TIMED_OUT.match(answer.payload) and seconds >= self.function.timeout_s:
            return _failure("Sandbox.Timedout", f"RequestId: {request_id} Error: {answer.payload.decode()}")
        if raised_by_runtime(answer.payload, request_id) and (self._error_logged or not complete):
            return Answer(answer.payload, "Unhandled")
        return answer

    def _report(self, request_id: str, answer: Answer, seconds: float, max_memory_mb: int) -> None:
        if not answer.usable:
            self._write(_error_line(answer, request_id) + "\n")
        milliseconds = 1e3 * seconds
        init = f"\tInit Duration: {1e3 * self.init_s:.2f} ms" if self.invocations == 0 else ""
        self._write(
            f"END RequestId: {request_id}\n"
            f"REPORT RequestId: {request_id}\tDuration: {milliseconds:.2f} ms\tBilled Duration: "
            f"{int(milliseconds) + 1} ms\tMemory Size: {self.function.memory_mb} MB\t"
            f"Max Memory Used: {max_memory_mb} MB{init}\n",
            urgent=True,
        )

    async def _memory_used_mb(self) -> int:
        """The sandbox's measure; 0 when nobody can tell, which is no reason to lose an answer."""
        try:
            return await self.sandbox.max_memory_mb()
        except OSError:
            logger.exception("%s: the memory of an environment cannot be measured", self.function.name)
            return 0

    async def _read_the_rest(self, *, alive: bool) -> bool:
        """Log all that the function has printed so far, however it ended; whether that is all for certain."""
        self.sandbox.drain_output()
        complete = True
        if not self.sandbox.shares_output:
            pass
        elif alive:
            complete = await _within(OUTPUT_WITHIN_S, self._rie_lines.ended)
        else:
            # RIE writes no END behind the output of a runtime that has died.
            deadline = time.monotonic() + OUTPUT_WITHIN_S
            self._came.clear()
            while time.monotonic() < deadline and await _within(QUIET_S, self._came):
                self._came.clear()
            complete = False
        self._write_function_lines(self._lines.end() + self._rie_lines.end())
        return complete

    def _take(self, chunk: bytes) -> bool:
        """Log a chunk of output; whether there is room for more."""
        self._came.set()
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
        # It may follow what the function printed without a line's end.
        self._error_logged = self._error_logged or "[ERROR] " in text
        self._write(text)

    def _write(self, text: str, *, urgent: bool = False) -> None:
        # The runtime keeps a multi-line message in one event by carriage returns.
        self._tail.add(text.replace("\r", "\n"))
        self.log.write(text, urgent=urgent)


async def start_environment(function: Function, start: SandboxStarter, log: Callable[[str], LogWriter]) -> Environment:
    """Starts an environment; the handler itself is loaded by the first invocation.

    Args:
        function: What it runs.
        start: Starts its sandbox.
        log: Opens the log stream of that name.

    Raises:
        OSError: The sandbox cannot be started.
        TimeoutError: RIE did not listen in time.
    """
    stream = f"{datetime.now(UTC):%Y/%m/%d}/[{function.version}]{uuid.uuid4().hex}"
    started = time.perf_counter()
    sandbox = await start(function, stream)
    environment = Environment(
        function=function,
        sandbox=sandbox,
        rie=HttpConnection(sandbox.address),
        log=log(stream),
        stream=stream,
        init_s=time.perf_counter() - started,
    )
    environment.read_output()
    return environment


async def _within(seconds: float, event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


def sandbox_failure(message: str) -> Answer:
    """Return what callers get when their invocation broke through no fault of the function's."""
    return _failure("Sandbox.Failure", message)


def _failure(type_: str, message: str) -> Answer:
    body = json.dumps({"errorType": type_, "errorMessage": message}).encode()
    return Answer(body, "Unhandled", usable=False)


def _error_line(answer: Answer, request_id: str) -> str:
    body = error_object(answer.payload) or {}
    message = str(body.get("errorMessage", "")).removeprefix(f"RequestId: {request_id} ").removeprefix("Error: ")
    if body.get("errorType") == "Sandbox.Timedout":
        return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + f"Z {request_id} {message}"
    return f"RequestId: {request_id} Error: {message}\r{body.get('errorType')}"
