"""An execution environment: one RIE with one runtime behind it, for one invocation at a time.

RIE crashes on overlapping invocations and when its caller disconnects, so an environment belongs to one invocation
until that has ended, whatever the caller does.
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

from harness.faults.plan import How
from harness.gateway.connection import HttpConnection
from harness.gateway.credentials import environment_name
from harness.gateway.feed import FeedInvocation, LogWriter
from harness.gateway.output import Lines, RieLines, Tail
from harness.gateway.payloads import error_object, raised_by_runtime
from harness.gateway.records import Function
from harness.gateway.sandbox import Sandbox

logger = logging.getLogger(__name__)

# Takes the function and the name of its log stream.
SandboxStarter = Callable[[Function, str], Awaitable[Sandbox]]

RIE_PATH = "/2015-03-31/functions/function/invocations"
# RIE enforces the function's time limit; this much later, the gateway considers RIE dead.
RIE_GRACE_S = 5.0
# How long the last lines of an invocation may arrive after its answer.
OUTPUT_WITHIN_S = 2.0
# After a death, the output is complete once none has arrived for this long.
QUIET_S = 0.05
_LONGEST_QUOTE = 200

_TIMED_OUT = re.compile(rb"^Task timed out after [\d.]+ seconds$")


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of one invocation.

    Attributes:
        payload: The function's answer, or the error in AWS's words.
        error: AWS's `X-Amz-Function-Error`: `Unhandled`, or None on success.
        usable: Whether the environment can take another invocation.
    """

    payload: bytes
    error: str | None = None
    usable: bool = True


# Stands for an error that RIE answered without a body.
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
    on_end: Callable[[FeedInvocation], None] | None = None
    watch: Callable[[bytes], None] | None = None
    _lines: Lines = field(default_factory=Lines)
    _rie_lines: RieLines = field(default_factory=RieLines)
    _tail: Tail = field(default_factory=Tail)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _error_logged: bool = False
    _end: How | None = None
    _silent: bool = False

    async def invoke(
        self, request_id: str, payload: bytes, headers: dict[str, str], *, arn: str = "", trace: str = ""
    ) -> Answer:
        """Run one invocation to its end and write its log.

        Args:
            request_id: The function's `aws_request_id`.
            payload: JSON.
            headers: Further headers for RIE (client context).
            arn: ARN of the invoked function, with the qualifier.
            trace: The function's `_X_AMZN_TRACE_ID`.
        """
        self._tail.clear()
        if self.sandbox.shares_output:
            self._rie_lines.begin(request_id)
        self._error_logged = False
        self.usable = False  # until this invocation has ended: a cancelled one leaves RIE in an unknown state
        self._end = None
        self._write(f"START RequestId: {request_id} Version: {self.function.version}\n")
        self.sandbox.thaw()
        started = time.perf_counter()
        answer = await self._post(request_id, payload, {**headers, **self.sandbox.headers(arn, trace)})
        seconds = time.perf_counter() - started
        complete = await self._drain_output(alive=answer.usable)
        answer = self._as_aws(answer, request_id, complete=complete, seconds=seconds)
        if answer is _SILENT:
            answer = self._runtime_exit(request_id)
        memory_mb = await self._memory_used_mb()
        end = self._planned_end()
        if end == "oom":
            memory_mb = self.function.memory_mb
        elif end == "exit":
            answer = _failure(
                "Runtime.ExitError", f"RequestId: {request_id} Error: Runtime exited with error: exit status 1"
            )
        self._report(request_id, answer, seconds, memory_mb)
        if self.on_end is not None:
            self.on_end(self._ended(request_id, payload, answer, seconds, memory_mb))
        self.invocations += 1
        self.usable = answer.usable
        # A debugger stays connected between invocations.
        if answer.usable and self.function.debugger is None:
            # The answer, the log and the memory are complete: freeze the function until the next invocation.
            self.sandbox.freeze()
        return answer

    @property
    def tail(self) -> bytes:
        """Return the last 4 KB of the current invocation's log."""
        return self._tail.content

    @property
    def name(self) -> str:
        """Return the environment's name, which is part of the access key that its function signs requests with."""
        return environment_name(self.stream)

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
            quote = f"RIE answered {response.status}: {response.body[:_LONGEST_QUOTE].decode(errors='replace')!r}"
            logger.warning("%s: %s", self.function.name, quote)
            return _failure("Runtime.ExitError", f"RequestId: {request_id} Error: {quote}")
        return Answer(response.body)

    def _runtime_exit(self, request_id: str) -> Answer:
        """Return the answer for a runtime that ended during its start, which RIE's own answer does not mention."""
        reason = self.sandbox.exit_reason()
        if not reason:
            reason = "RIE answered with an error and no body"
            logger.warning("%s: %s", self.function.name, reason)
        return _failure("Runtime.ExitError", f"RequestId: {request_id} Error: {reason}")

    def _as_aws(self, answer: Answer, request_id: str, *, complete: bool, seconds: float) -> Answer:
        """Return the answer as AWS gives it: RIE answers 200 when a handler raised, and when its time was up.

        A handler may *return* such a body.
        So an error must carry this invocation's id, and the runtime must have logged it too, as far as the log is
        complete; and a timeout is believed only after the time limit.
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

    def _ended(
        self, request_id: str, payload: bytes, answer: Answer, seconds: float, max_memory_mb: int
    ) -> FeedInvocation:
        body = error_object(answer.payload) if answer.error is not None else None
        return FeedInvocation(
            function=self.function.name,
            version=self.function.version,
            request_id=request_id,
            error=str((body or {}).get("errorType", answer.error)) if answer.error is not None else "",
            duration_ms=1e3 * seconds,
            billed_ms=int(1e3 * seconds) + 1,
            memory_mb=self.function.memory_mb,
            used_mb=max_memory_mb,
            init_ms=1e3 * self.init_s if self.invocations == 0 else None,
            ended_at=time.time(),
            payload=payload.decode(errors="replace"),
        )

    async def _memory_used_mb(self) -> int:
        """Return the sandbox's peak memory; 0 if it cannot be measured, so that the answer is not lost."""
        try:
            return await self.sandbox.max_memory_mb()
        except OSError:
            logger.exception("%s: the memory of an environment cannot be measured", self.function.name)
            return 0

    async def _drain_output(self, *, alive: bool) -> bool:
        """Log the rest of the function's output, however it ended; return whether the log is certainly complete."""
        self.sandbox.drain_output()
        complete = True
        if not self.sandbox.shares_output:
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
            # A busy engine hands over what a container wrote later than QUIET_S; RIE's error is behind all of it.
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
        self._error_logged = self._error_logged or "[ERROR] " in text
        self._write(text)

    def _write(self, text: str, *, urgent: bool = False) -> None:
        # The runtime keeps a multi-line message in one event by carriage returns.
        self._tail.add(text.replace("\r", "\n"))
        self.log.write(text, urgent=urgent)


async def start_environment(function: Function, start: SandboxStarter, log: Callable[[str], LogWriter]) -> Environment:
    """Start an environment; the first invocation loads the handler.

    Args:
        function: The function that it runs.
        start: Starts its sandbox.
        log: Opens the log stream with a given name.

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
    """Return the answer for an invocation that failed through no fault of the function."""
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
