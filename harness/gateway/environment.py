"""An execution environment: one RIE process with one runtime behind it, for one invocation at a time.

RIE crashes on overlapping invocations and when its caller goes away, so an environment belongs to one invocation
until that is over, whatever the caller does.

    gateway --HTTP--> aws-lambda-rie --runtime API--> python -m awslambdaric (the handler's process)

Both die with the gateway: each is started with a parent-death signal.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

import asyncio
import json
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx

from harness.gateway import limits
from harness.gateway.functions import Function
from harness.processes import bound_to_parent, free_port

logger = logging.getLogger(__name__)

LogWriter = Callable[[str], None]

RIE_PATH = "/2015-03-31/functions/function/invocations"
READY_WITHIN_S = 10.0
READY_POLL_S = 0.002
# RIE enforces the function's time limit; this much later it is taken for dead.
RIE_GRACE_S = 5.0
# The last lines of an invocation are in the pipe already when its answer comes.
OUTPUT_WITHIN_S = 0.5
STOP_WITHIN_S = 1.0
# A port can be lost between its choice and RIE's start; other causes do not go away by trying.
START_ATTEMPTS = 3
READ_BYTES = 65_536
# CloudWatch Logs cuts an event there.
LONGEST_LINE_BYTES = 262_144

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
    process: asyncio.subprocess.Process
    address: str
    folder: Path
    client: httpx.AsyncClient
    log: LogWriter
    stream: str
    usable: bool = True
    invocations: int = 0
    init_s: float = 0.0
    _output: asyncio.Task[None] | None = None
    _runtime_pid: int = 0
    _current: str = ""
    _tail: list[str] = field(default_factory=list)
    _error_logged: bool = False
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
        self._write(f"START RequestId: {request_id} Version: $LATEST")
        started = time.perf_counter()
        answer = await self._post(request_id, payload, headers)
        seconds = time.perf_counter() - started
        if answer.usable:
            await self._wait_for_output()
        answer = self._as_aws(answer, request_id)
        self._report(request_id, answer, seconds)
        self.invocations += 1
        self.usable = answer.usable
        return answer

    @property
    def tail(self) -> bytes:
        """The last 4 KB of the current invocation's log."""
        return "\n".join([*self._tail, ""]).encode()[-limits.LOG_TAIL_BYTES :]

    async def stop(self) -> None:
        """Ends both processes and removes the environment's folder."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), STOP_WITHIN_S)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
        if self._output is not None:
            self._output.cancel()
            await asyncio.gather(self._output, return_exceptions=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def read_output(self) -> None:
        """Begins to pass the function's output on to its log."""
        self._output = asyncio.create_task(self._pump())

    async def _post(self, request_id: str, payload: bytes, headers: dict[str, str]) -> Answer:
        timeout = httpx.Timeout(self.function.timeout_s + RIE_GRACE_S)
        try:
            response = await self.client.post(
                f"http://{self.address}{RIE_PATH}",
                content=payload,
                headers={"X-Amzn-RequestId": request_id, **headers},
                timeout=timeout,
            )
        except httpx.HTTPError as error:
            message = f"RequestId: {request_id} Error: the execution environment is gone ({type(error).__name__})"
            return _failure("Runtime.ExitError", message)
        if response.status_code == httpx.codes.BAD_GATEWAY:
            return Answer(response.content, "Unhandled", usable=False)
        if _TIMED_OUT.match(response.content):
            message = f"RequestId: {request_id} Error: {response.text}"
            return _failure("Sandbox.Timedout", message)
        return Answer(response.content)

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

    def _report(self, request_id: str, answer: Answer, seconds: float) -> None:
        if not answer.usable:
            self._write(_error_line(answer, request_id))
        milliseconds = 1e3 * seconds
        init = f"\tInit Duration: {1e3 * self.init_s:.2f} ms" if self.invocations == 0 else ""
        self._write(f"END RequestId: {request_id}")
        self._write(
            f"REPORT RequestId: {request_id}\tDuration: {milliseconds:.2f} ms\tBilled Duration: "
            f"{int(milliseconds) + 1} ms\tMemory Size: {self.function.memory_mb} MB\t"
            f"Max Memory Used: {self._max_memory_mb()} MB{init}"
        )

    def _max_memory_mb(self) -> int:
        """Peak resident memory of the handler's process, from the kernel; 0 when it is gone."""
        for _ in range(2):
            try:
                status = Path(f"/proc/{self._runtime_pid}/status").read_text()
            except OSError:
                # Not looked up yet, or RIE has started another runtime since.
                self._runtime_pid = _child_of(self.process.pid)
            else:
                match = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
                return int(match[1]) // 1024 if match else 0
        return 0

    async def _wait_for_output(self) -> None:
        try:
            await asyncio.wait_for(self._ended.wait(), OUTPUT_WITHIN_S)
        except TimeoutError:
            logger.warning("%s: the end of the output of %s did not come", self.function.name, self._current)

    async def _pump(self) -> None:
        assert self.process.stdout is not None  # noqa: S101 - it was started with a pipe
        rest = b""
        while chunk := await self.process.stdout.read(READ_BYTES):
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


async def start_environment(
    function: Function,
    *,
    rie: Path,
    folder: Path,
    variables: dict[str, str],
    client: httpx.AsyncClient,
    log: Callable[[str, str], None],
) -> Environment:
    """Starts an environment and waits until RIE listens; the handler itself is loaded by the first invocation.

    Args:
        function: What it runs.
        rie: The RIE binary.
        folder: Where environments keep their temporary files.
        variables: Addresses and credentials that every function sees.
        client: For talking to RIE.
        log: Takes the log stream's name and a line.

    Raises:
        OSError: RIE cannot be started.
        TimeoutError: RIE did not listen in time.
    """
    stream = f"{datetime.now(UTC):%Y/%m/%d}/[$LATEST]{uuid.uuid4().hex}"
    own_folder = Path(tempfile.mkdtemp(prefix=f"{function.name}-", dir=folder))
    started = time.perf_counter()
    try:
        process, port = await _start_rie(rie, function, _environment_variables(function, stream, own_folder, variables))
    except BaseException:
        shutil.rmtree(own_folder, ignore_errors=True)
        raise
    environment = Environment(
        function=function,
        process=process,
        address=f"127.0.0.1:{port}",
        folder=own_folder,
        client=client,
        log=lambda line: log(stream, line),
        stream=stream,
        init_s=time.perf_counter() - started,
    )
    environment.read_output()
    return environment


async def _start_rie(
    rie: Path, function: Function, variables: dict[str, str]
) -> tuple[asyncio.subprocess.Process, int]:
    """RIE's process and the port on which it listens.

    Raises:
        OSError: It cannot be started, or ends at once; its last words are told.
        TimeoutError: It does not listen in time.
    """
    deadline = time.monotonic() + READY_WITHIN_S
    last_words = b""
    for _ in range(START_ATTEMPTS):
        endpoint, runtime_api = free_port(), free_port()
        process = await asyncio.create_subprocess_exec(
            *rie_command(rie, endpoint, runtime_api, function.handler),
            cwd=function.code,
            env=variables,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        if await _listens(endpoint, process, deadline):
            return process, endpoint
        if process.returncode is None:
            process.kill()
            raise TimeoutError(f"RIE for {function.name} did not listen within {READY_WITHIN_S:.0f} s")
        last_words = (await process.communicate())[0][-500:]
    raise OSError(f"RIE for {function.name} ended at once: {last_words.decode(errors='replace').strip()}")


def _environment_variables(function: Function, stream: str, folder: Path, variables: dict[str, str]) -> dict[str, str]:
    """What a function finds in its environment, in the order of AWS's page.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """
    return {
        "_HANDLER": function.handler,
        "AWS_DEFAULT_REGION": limits.REGION,
        "AWS_REGION": limits.REGION,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout_s),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": stream,
        "LANG": "en_US.UTF-8",
        "LAMBDA_TASK_ROOT": str(function.code),
        "PATH": os.defpath,
        "TZ": ":UTC",
        "PYTHONUTF8": "1",
        # Process mode has no file system of its own per environment; temporary files go to a folder of its own.
        "TMPDIR": str(folder),
        "HOME": str(folder),
        **variables,
        **function.variables,
    }


async def _listens(port: int, process: asyncio.subprocess.Process, deadline: float) -> bool:
    while time.monotonic() < deadline and process.returncode is None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(READY_POLL_S)
            continue
        writer.close()
        return True
    return False


def _child_of(pid: int) -> int:
    """The process that RIE has started, whichever of its threads did; 0 when there is none."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        children = [child for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:
        return 0
    return int(children[0]) if children else 0


def rie_command(rie: Path, endpoint: int, runtime_api: int, handler: str) -> list[str]:
    """The command that serves a handler on a loopback port; both processes die with their parents.

    Args:
        rie: The RIE binary.
        endpoint: Port for invocations.
        runtime_api: Port between RIE and the runtime.
        handler: `module.function`, found from the working directory.
    """
    runtime = bound_to_parent([sys.executable, "-m", "awslambdaric", handler])
    addresses = {"--runtime-interface-emulator-address": endpoint, "--runtime-api-address": runtime_api}
    flags = [text for flag, port in addresses.items() for text in (flag, f"127.0.0.1:{port}")]
    return bound_to_parent([str(rie), *flags, "--log-level", "error", *runtime])


def start_failure(request_id: str, cause: str) -> Answer:
    """What callers get when no environment could be started for their invocation."""
    return _failure("Sandbox.Failure", f"RequestId: {request_id} Error: the environment did not start: {cause}")


def _failure(type_: str, message: str) -> Answer:
    body = json.dumps({"errorType": type_, "errorMessage": message}).encode()
    return Answer(body, "Unhandled", usable=False)


def _error_line(answer: Answer, request_id: str) -> str:
    body = json.loads(answer.payload)
    message = str(body.get("errorMessage", "")).removeprefix(f"RequestId: {request_id} ").removeprefix("Error: ")
    if body.get("errorType") == "Sandbox.Timedout":
        return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + f"Z {request_id} {message}"
    return f"RequestId: {request_id} Error: {message}\n{body.get('errorType')}"
