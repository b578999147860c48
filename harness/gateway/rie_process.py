"""A sandbox in process mode: RIE and the runtime as processes of this machine, in a folder of their own.

    gateway --HTTP--> aws-lambda-rie --runtime API--> python bootstrap.py (the handler's process) --> its children

Both die with the gateway: each is started with a parent-death signal.
The handler's process may be forked from a pre-imported parent (`parents.py`); a client stands in for it below RIE.

Invariant: the environment's label (`harness.system.process_labels`) marks each of its processes, whoever started it.
When the environment ends, all of them end; between invocations, all of them except RIE and the client are stopped.
"""

import asyncio
import contextlib
import fcntl
import itertools
import logging
import math
import os
import re
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from harness.gateway.initialisation import INIT_WITHIN_S
from harness.gateway.isolation.view import View, Views
from harness.gateway.logs.output import Pipe
from harness.gateway.parents import Parents
from harness.gateway.records import Function
from harness.gateway.runtime.bootstrap import INITIALISE, METADATA, PRIVATE
from harness.gateway.runtimes import Runtimes
from harness.gateway.sandbox import (
    READY_POLL_S,
    READY_WITHIN_S,
    StackAccess,
    debugger_variables,
    exit_reason_in,
    metadata_variable,
    private_variable,
    process_variables,
)
from harness.system.process_identity import bound_to_parent, reserved_ports
from harness.system.process_labels import Members, end_environment, environment_label, label_of, set_label

logger = logging.getLogger(__name__)

DEBUGGER = Path(__file__).with_name("runtime") / "debugger.py"
# A port can be lost between its choice and RIE's start; a retry does not help against other causes.
START_ATTEMPTS = 3
LEAST_NUMBER = 100
# RIE counts the initialisation as part of the first invocation, so the gateway applies the time limit instead. RIE's
# own limit, so much longer, only ends what somebody else has sent to a frozen environment.
RIE_TIMEOUT = "AWS_LAMBDA_FUNCTION_TIMEOUT"
RIE_LATER_S = math.ceil(INIT_WITHIN_S) + 1
READ_BYTES = 65_536
# How long a fork that was in progress during a freeze may still take.
RECHECK_AFTER_S = 0.02
_PEAK_KB = re.compile(rb"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


@dataclass
class ProcessSandbox:
    """RIE's process; see `Sandbox`.

    Attributes:
        nonce: Lets the runtime recognise the gateway's events, because RIE's port accepts anyone's.
    """

    process: asyncio.subprocess.Process
    address: str
    folder: Path
    label: int
    members: Members
    output: Pipe
    errors: BinaryIO
    nonce: str = field(repr=False)
    shares_output: bool = False
    managed: bool = True
    _runtime: "RuntimeStatus | None" = None
    _recheck: asyncio.TimerHandle | None = None

    @property
    def alive(self) -> bool:
        """Return whether RIE still runs."""
        return self.process.returncode is None

    @property
    def pids(self) -> tuple[int, ...]:
        """Return RIE and the runtime, which a parent outside of RIE's tree may have forked."""
        runtime = runtime_of(self.process.pid)
        return (self.process.pid, runtime) if runtime else (self.process.pid,)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return nothing: all processes share this machine's addresses."""
        return ()

    def headers(self, arn: str, trace: str, deadline: float) -> dict[str, str]:
        """Return one header that RIE forwards and functions do not need; `runtime/bootstrap.py` unpacks it."""
        return {"X-Amz-Tenant-Id": f"{self.nonce} {int(1e3 * deadline)} {arn} {trace}"}

    def initialising_headers(self) -> dict[str, str]:
        """Return the same header for an event that only waits until the handler is loaded."""
        return {"X-Amz-Tenant-Id": f"{self.nonce} {INITIALISE}"}

    def read_output(self, take: Callable[[bytes], bool]) -> None:
        """Start to deliver the function's output."""
        self.output.start(take)

    def resume_output(self) -> None:
        """Continue to deliver output, because there is room again."""
        self.output.resume()

    def drain_output(self) -> None:
        """Deliver the content of the pipe: everything that the runtime had printed before RIE answered."""
        self.output.drain()

    async def max_memory_mb(self) -> int:
        """Return the peak resident memory of the handler's process; 0 if it has ended.

        For a forked process this includes the pages shared with its parent: they are resident, as on AWS.
        """
        peak = self._runtime.peak_memory_mb() if self._runtime else None
        if peak is None:
            # The runtime is not known yet, or RIE has since started another one.
            self._forget_runtime()
            self._runtime = RuntimeStatus.of(runtime_of(self.process.pid))
            peak = self._runtime.peak_memory_mb() if self._runtime else None
        return peak or 0

    async def signal(self, number: signal.Signals) -> None:
        """Send a signal to the handler's process, if there is one."""
        if self.members.frozen and number in (signal.SIGSTOP, signal.SIGCONT):
            # The signal belongs to an invocation that has ended.
            return
        # Look the pid up each time, because RIE starts another runtime after a death.
        pid = runtime_of(self.process.pid)
        if pid and label_of(pid) == self.label:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def exit_reason(self) -> str:
        """Return how the runtime ended, which RIE logs before it answers, but omits from the answer during a start."""
        size = os.fstat(self.errors.fileno()).st_size
        last_words = os.pread(self.errors.fileno(), READ_BYTES, max(0, size - READ_BYTES))
        return exit_reason_in(last_words.decode(errors="replace"))

    def freeze(self) -> None:
        """Stop the handler's process and all its children; RIE continues."""
        self.members.freeze()
        self._schedule_recheck()

    def thaw(self) -> None:
        """Let the handler's process and its children continue."""
        self._cancel_recheck()
        self.members.thaw()

    async def kill(self) -> None:
        """End RIE, the runtime and all its children."""
        await asyncio.to_thread(end_environment, self.label)

    async def stop(self) -> None:
        """End RIE, the runtime and all its children, and remove the folder."""
        self._cancel_recheck()
        self._forget_runtime()
        if not await asyncio.to_thread(end_environment, self.label):
            logger.error("processes of an environment did not end, even after SIGKILL: see %s", self.folder)
        await self.process.wait()
        self.output.close()
        self.errors.close()
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    def _schedule_recheck(self, seconds: float = RECHECK_AFTER_S) -> None:
        self._recheck = asyncio.get_running_loop().call_later(seconds, self._recheck_now, seconds)

    def _recheck_now(self, waited_s: float) -> None:
        if self.members.freeze_late_children():
            self._schedule_recheck(2 * waited_s)

    def _cancel_recheck(self) -> None:
        if self._recheck is not None:
            self._recheck.cancel()

    def _forget_runtime(self) -> None:
        if self._runtime is not None:
            self._runtime.close()
        self._runtime = None


class RuntimeStatus:
    """The kernel's status of one process, never of a later one with the same pid; read after each invocation.

    Args:
        descriptor: Open descriptor of the status file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def of(cls, pid: int) -> "RuntimeStatus | None":
        """Return the status of a process; None if it does not exist."""
        try:
            return cls(os.open(f"/proc/{pid}/status", os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return None

    def peak_memory_mb(self) -> int | None:
        """Return the peak resident memory; None if the process has ended."""
        try:
            peak = _PEAK_KB.search(os.pread(self._descriptor, READ_BYTES, 0))
        except OSError:
            return None
        return int(peak[1]) // 1024 if peak else None

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


@dataclass
class Processes:
    """Starts the sandboxes of a stack's functions.

    Attributes:
        rie: The RIE binary.
        scratch: The stack's folder for temporary files, in which each sandbox gets its own folder.
        access: The addresses and the secret of the stack.
        stack: The stack's label.
        parents: The parents from which runtimes are forked; None to start fresh ones.
        runtimes: The interpreters that functions run on.
        views: What functions see.
        debugpy: The folder of debugpy.
    """

    rie: Path
    scratch: Path
    access: StackAccess
    stack: int
    parents: Parents | None
    runtimes: Runtimes
    views: Views
    debugpy: Path | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def start(self, function: Function, stream: str) -> ProcessSandbox:
        """Start RIE and wait until it listens; the first invocation loads the handler.

        Args:
            function: The function that it runs.
            stream: Name of its log stream.

        Raises:
            OSError: RIE cannot be started, or ends at once; the error contains its last output.
            TimeoutError: RIE did not listen in time.
        """
        number = next(self._numbers)
        label = environment_label(self.stack, number)
        folder = self.scratch / str(number)
        with contextlib.ExitStack() as undo:
            folder.mkdir(mode=0o700)
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
            nonce = secrets.token_urlsafe(16)
            view = self.views.of(function, self.runtimes.python_of(function))
            variables = process_variables(function, stream, folder, self.access, view)
            variables[PRIVATE] = private_variable(function, nonce, view)
            variables[METADATA] = metadata_variable(variables)
            variables[RIE_TIMEOUT] = str(function.timeout_s + RIE_LATER_S)
            if function.debugger is not None:
                variables |= debugger_variables(function.debugger, "127.0.0.1", function.debugger.port, self.debugpy)
            errors = undo.enter_context(tempfile.TemporaryFile())
            reading, writing = output_pipe()
            undo.callback(os.close, reading)
            try:
                process, port = await self._start_rie(function, view, variables, label, folder, writing, errors)
            finally:
                os.close(writing)
            undo.pop_all()
        members = Members(label, process.pid)
        return ProcessSandbox(process, f"127.0.0.1:{port}", folder, label, members, Pipe(reading), errors, nonce)

    async def _start_rie(
        self,
        function: Function,
        view: View,
        variables: dict[str, str],
        label: int,
        folder: Path,
        output: int,
        errors: BinaryIO,
    ) -> tuple[asyncio.subprocess.Process, int]:
        """Return RIE's process and the port on which it listens."""
        # A debugger starts threads, which a parent must not have.
        script = "bootstrap.py" if function.debugger is None else "debugger.py"
        runtime = view.command([view.python, f"{view.runtime}/{script}"], output=output)
        if self.parents is not None and function.debugger is None:
            runtime = self.parents.preferred(function, output, runtime)
        deadline = time.monotonic() + READY_WITHIN_S
        for _ in range(START_ATTEMPTS):
            with reserved_ports(2) as (endpoint, runtime_api):
                process = await asyncio.create_subprocess_exec(
                    *rie_command(self.rie, endpoint, runtime_api, runtime),
                    cwd=folder,
                    env=variables,
                    stdin=asyncio.subprocess.DEVNULL,
                    # RIE prints reports, with its configured figures, and its own errors. The function's output has a
                    # pipe of its own, so that its lines cannot be mistaken for RIE's.
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=errors,
                    pass_fds=[output],
                    start_new_session=True,
                )
                # Early enough: RIE starts the runtime at the first invocation.
                with contextlib.suppress(ProcessLookupError):
                    set_label(process.pid, label)
                if await _listens(endpoint, process, deadline):
                    return process, endpoint
                if process.returncode is None:
                    process.kill()
                    raise TimeoutError(f"RIE for {function.name} did not listen within {READY_WITHIN_S:.0f} s")
                errors.seek(0)
                last_words = errors.read()[-500:].decode(errors="replace").strip()
        raise OSError(f"RIE for {function.name} ended at once: {last_words}")


def output_pipe() -> tuple[int, int]:
    """Return both ends of a pipe, the second one for RIE to pass on.

    The second descriptor has a high number, because RIE itself uses low ones when it starts the runtime.
    """
    reading, low = os.pipe()
    try:
        return reading, fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, LEAST_NUMBER)
    finally:
        os.close(low)


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


def child_of(pid: int) -> int:
    """Return the pid of RIE's child, whichever thread started it; 0 if there is none."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        children = [child for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:
        return 0
    return int(children[0]) if children else 0


def runtime_of(rie: int) -> int:
    """Return the pid of the handler's process behind a RIE: its child, or the process that this stands for; or 0."""
    child = child_of(rie)
    try:
        name = Path(f"/proc/{child}/comm").read_text()
    except OSError:
        return 0
    forked = re.match(r"fork (\d+)$", name)
    # Any process may take such a name, so accept only a pid in its own environment.
    return int(forked[1]) if forked and label_of(int(forked[1])) == label_of(rie) else child


def rie_command(rie: Path, endpoint: int, runtime_api: int, runtime: list[str]) -> list[str]:
    """Return the command that serves a handler on a loopback port; both processes die with their parents.

    Args:
        rie: The RIE binary.
        endpoint: Port for invocations.
        runtime_api: Port between RIE and the runtime.
        runtime: The command that RIE starts.
    """
    addresses = {"--runtime-interface-emulator-address": endpoint, "--runtime-api-address": runtime_api}
    flags = [text for flag, port in addresses.items() for text in (flag, f"127.0.0.1:{port}")]
    return bound_to_parent([str(rie), *flags, "--log-level", "error", *bound_to_parent(runtime)])
