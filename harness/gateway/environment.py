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

from harness.faults.plan import How
from harness.gateway import limits
from harness.gateway.connection import HttpConnection
from harness.gateway.credentials import environment_name
from harness.gateway.records import Function
from harness.gateway.sandbox import Sandbox

logger = logging.getLogger(__name__)

LogWriter = Callable[[str], None]
# Given the function and the name of its log stream.
SandboxStarter = Callable[[Function, str], Awaitable[Sandbox]]

RIE_PATH = "/2015-03-31/functions/function/invocations"
# RIE enforces the function's time limit; this much later it is taken for dead.
RIE_GRACE_S = 5.0
# The last lines of an invocation are in the pipe already when its answer comes.
OUTPUT_WITHIN_S = 0.5
# CloudWatch Logs cuts an event there.
LONGEST_LINE_BYTES = 262_144
_LONGEST_QUOTE = 200

# RIE's own lines carry its configured figures instead of measured ones; the gateway writes them itself.
_RIE_LINE = re.compile(r"(START|END|REPORT) RequestId: (?P<id>[0-9a-f-]{36})\b.*$")
_TIMED_OUT = re.compile(rb"^Task timed out after [\d.]+ seconds$")
_EXIT_ERROR = re.compile(r"Runtime exited.*$")


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
    _output: asyncio.Task[None] | None = None
    _current: str = ""
    _tail: list[str] = field(default_factory=list)
    _error_logged: bool = False
    _end: How | None = None
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def invoke(self, request_id: str, payload: bytes, headers: dict[str, str]) -> Answer:
        """Runs one invocation to its end and writes its log.

        Args:
            request_id: What the function sees as `aws_request_id`.
            payload: JSON.
            headers: Further headers for RIE (client context).
        """
        self._current, self._tail, self._error_logged = request_id, [], False
        self._ended.clear()
        self.usable = False  # until this invocation is over: a cancelled one leaves RIE in an unknown state
        self._end = None
        self._write(f"START RequestId: {request_id} Version: {self.function.version}")
        self.sandbox.thaw()
        started = time.perf_counter()
        answer = await self._post(request_id, payload, headers)
        seconds = time.perf_counter() - started
        if answer.usable:
            await self._wait_for_output()
        answer = self._as_aws(answer, request_id)
        memory_mb = await self.sandbox.max_memory_mb()
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
        return "\n".join([*self._tail, ""]).encode()[-limits.LOG_TAIL_BYTES :]

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
        if self._output is not None:
            self._output.cancel()
            await asyncio.gather(self._output, return_exceptions=True)

    def read_output(self) -> None:
        """Begins to pass the function's output on to its log."""
        self._output = asyncio.create_task(self._pump())

    async def _post(self, request_id: str, payload: bytes, headers: dict[str, str]) -> Answer:
        try:
            response = await self.rie.post(
                RIE_PATH, payload, {"X-Amzn-RequestId": request_id, **headers}, self.function.timeout_s + RIE_GRACE_S
            )
        except (OSError, TimeoutError) as error:
            message = f"RequestId: {request_id} Error: the execution environment is gone ({type(error).__name__})"
            return _failure("Runtime.ExitError", message)
        if response.status != HTTPStatus.OK:
            if _tells_error(response.body):
                return Answer(response.body, "Unhandled", usable=False)
            said = f"RIE answered {response.status}: {response.body[:_LONGEST_QUOTE].decode(errors='replace')!r}"
            logger.warning("%s: %s", self.function.name, said)
            return _failure("Runtime.ExitError", f"RequestId: {request_id} Error: {said}")
        if _TIMED_OUT.match(response.body):
            message = f"RequestId: {request_id} Error: {response.body.decode()}"
            return _failure("Sandbox.Timedout", message)
        return Answer(response.body)

    def _as_aws(self, answer: Answer, request_id: str) -> Answer:
        """RIE answers 200 when a handler raised; the error then is only in the body.

        A handler may *return* such a body, so it must carry this invocation's id, and the runtime must have
        logged the error too.
        """
        if answer.error is not None or not answer.payload.startswith(b'{"errorMessage"'):
            return answer
        body = json.loads(answer.payload)
        raised = {"errorMessage", "errorType", "requestId", "stackTrace"} == set(body) and body[
            "requestId"
        ] == request_id
        in_doubt = not self._ended.is_set()
        return Answer(answer.payload, "Unhandled") if raised and (self._error_logged or in_doubt) else answer

    def _report(self, request_id: str, answer: Answer, seconds: float, max_memory_mb: int) -> None:
        if not answer.usable:
            self._write(_error_line(answer, request_id))
        milliseconds = 1e3 * seconds
        init = f"\tInit Duration: {1e3 * self.init_s:.2f} ms" if self.invocations == 0 else ""
        self._write(f"END RequestId: {request_id}")
        self._write(
            f"REPORT RequestId: {request_id}\tDuration: {milliseconds:.2f} ms\tBilled Duration: "
            f"{int(milliseconds) + 1} ms\tMemory Size: {self.function.memory_mb} MB\t"
            f"Max Memory Used: {max_memory_mb} MB{init}"
        )

    async def _wait_for_output(self) -> None:
        if self._ended.is_set():
            return
        try:
            async with asyncio.timeout(OUTPUT_WITHIN_S):
                await self._ended.wait()
        except TimeoutError:
            logger.warning("%s: the end of the output of %s did not come", self.function.name, self._current)

    async def _pump(self) -> None:
        rest = b""
        async for chunk in self.sandbox.output():
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LONGEST_LINE_BYTES:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._line(line.decode(errors="replace"))
        if rest:
            self._line(rest.decode(errors="replace"))

    def _line(self, line: str) -> None:
        own = _RIE_LINE.search(line)
        if own is None:
            self._function_line(line)
            return
        if own.start():
            self._function_line(line[: own.start()])
        if own[1] == "END" and own["id"] == self._current:
            self._ended.set()

    def _function_line(self, line: str) -> None:
        # It may follow what the function printed without a line's end.
        if "[ERROR] " in line:
            self._error_logged = True
        # The runtime keeps a multi-line message in one event by carriage returns.
        self._write(line.replace("\r", "\n"))

    def _write(self, line: str) -> None:
        self._tail.append(line)
        self.log(line)


async def start_environment(function: Function, start: SandboxStarter, log: Callable[[str, str], None]) -> Environment:
    """Starts an environment; the handler itself is loaded by the first invocation.

    Args:
        function: What it runs.
        start: Starts its sandbox.
        log: Takes the log stream's name and a line.

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
        log=lambda line: log(stream, line),
        stream=stream,
        init_s=time.perf_counter() - started,
    )
    environment.read_output()
    return environment


def start_failure(request_id: str, cause: str) -> Answer:
    """What callers get when no environment could be started for their invocation."""
    return _failure("Sandbox.Failure", f"RequestId: {request_id} Error: the environment did not start: {cause}")


def _failure(type_: str, message: str) -> Answer:
    body = json.dumps({"errorType": type_, "errorMessage": message}).encode()
    return Answer(body, "Unhandled", usable=False)


def _tells_error(body: bytes) -> bool:
    """Whether RIE tells what became of the runtime; when it knows no better, it says nothing at all."""
    try:
        return "errorType" in json.loads(body)
    except (ValueError, TypeError):
        return False


def _error_line(answer: Answer, request_id: str) -> str:
    body = json.loads(answer.payload)
    message = str(body.get("errorMessage", "")).removeprefix(f"RequestId: {request_id} ").removeprefix("Error: ")
    if body.get("errorType") == "Sandbox.Timedout":
        return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + f"Z {request_id} {message}"
    return f"RequestId: {request_id} Error: {message}\n{body.get('errorType')}"
