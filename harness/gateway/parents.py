"""The pre-imported parents: one for the current state of each function, from which its environments are forked.

    function created or changed --> a parent starts to import          (the caller does not wait)
    environment started ----------> RIE --> client --asks--> parent --forks--> runtime
    function changed or deleted --> its parent stays until the last of its runtimes has ended

Otherwise, 64 fresh interpreters on two cores would spend many seconds importing the same libraries.
`harness.gateway.forking` explains what a forked runtime shares with its parent and what it does not.
"""

import asyncio
import contextlib
import itertools
import logging
import shutil
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path

from harness.gateway.credentials import METADATA_TOKEN
from harness.gateway.isolation.view import Views
from harness.gateway.packages import CodeFolders
from harness.gateway.records import Function
from harness.gateway.runtimes import Runtimes
from harness.gateway.sandbox import StackAccess, process_variables
from harness.system.process_identity import bound_to_parent
from harness.system.process_labels import end_environment, environment_label, set_label

logger = logging.getLogger(__name__)

CLIENT = Path(__file__).with_name("forking") / "client.py"
PARENT = Path(__file__).with_name("forking") / "start.py"
# https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html#runtime-wrapper
WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER"
# Their Python cannot run the parent.
_NOT_FORKED = {"python3.8", "python3.9"}
# Clients wait in the socket's queue while the parent still imports.
MOST_WAITING = 4096
# These belong to one environment, so a parent does not have them.
_OF_AN_ENVIRONMENT = {
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    METADATA_TOKEN,
}
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
MEMORY_PER_CPU_MB = 1769


@dataclass
class _Parent:
    """One parent.

    Attributes:
        revision: The function's revision.
        folder: Its working folder and home, for temporary files and the socket to which its clients connect.
        label: Marks the parent and every process that its libraries start; see `harness.system.process_labels`.
        unwanted: Set when its function has changed.
    """

    revision: str
    folder: Path
    label: int
    unwanted: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def socket(self) -> Path:
        """Return the path of the socket to which clients connect."""
        return self.folder / "parent"


class Parents:
    """The parents of all functions.

    Args:
        scratch: The stack's folder for temporary files.
        access: The addresses and the secret of the stack.
        stack: The stack's label.
        runtimes: The interpreters that parents run on.
        views: What functions see.
        code: Holds the code that parents import.
    """

    # Environments are numbered from 1.
    FIRST_NUMBER = 1 << 22

    def __init__(
        self, scratch: Path, access: StackAccess, stack: int, runtimes: Runtimes, views: Views, code: CodeFolders
    ) -> None:
        self._scratch = scratch
        self._access = access
        self._stack = stack
        self._runtimes = runtimes
        self._views = views
        self._code = code
        self._numbers = itertools.count(self.FIRST_NUMBER)
        self._by_function: dict[str, _Parent] = {}
        self._lives: set[asyncio.Task[None]] = set()

    def prepare(self, function: Function) -> None:
        """Start the parent of a function that was created or changed; it imports in the background."""
        self.retire(function)
        if WRAPPER in function.variables or function.runtime in _NOT_FORKED:
            # A wrapper decides what to start.
            return
        number = next(self._numbers)
        folder = self._scratch / f"p{number - self.FIRST_NUMBER}"
        folder.mkdir(mode=0o700)
        label = environment_label(self._stack, number)
        parent = self._by_function[function.key] = _Parent(function.revision, folder, label)
        # Its function may be deleted while it starts.
        self._code.hold(function)
        life = asyncio.create_task(self._live(parent, function, _listen(parent.socket)))
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)
        life.add_done_callback(lambda _: self._code.release(function))

    def retire(self, function: Function) -> None:
        """Stop forking from a function's parent; it ends with the last of its runtimes."""
        parent = self._by_function.pop(function.key, None)
        if parent is not None:
            parent.unwanted.set()

    def preferred(self, function: Function, output: int, command: list[str]) -> list[str]:
        """Return the command that has a runtime forked; `command`, which starts a fresh one, if there is no parent.

        Args:
            function: The function.
            output: The descriptor that the runtime prints to.
            command: Starts a fresh runtime.
        """
        parent = self._by_function.get(function.key)
        if parent is None or parent.revision != function.revision:
            return command
        return [sys.executable, "-I", "-S", str(CLIENT), str(parent.socket), str(output), *command]

    async def stop(self) -> None:
        """End all parents, and with them every forked runtime."""
        for life in self._lives:
            life.cancel()
        await asyncio.gather(*self._lives, return_exceptions=True)

    async def _live(self, parent: _Parent, function: Function, listener: socket.socket) -> None:
        try:
            process = await self._start(parent, function, listener)
        except OSError:
            logger.exception("environments of %s start cold: their parent could not be started", function.name)
            return
        finally:
            # The process has its own copy: once it is gone, clients are refused and start without it.
            listener.close()
        try:
            if await _ended_before(process, parent.unwanted):
                logger.warning("environments of %s start cold: their parent has ended", function.name)
            assert process.stdin is not None  # noqa: S101 - it was started with a pipe
            process.stdin.close()
            await process.wait()
        finally:
            if not await asyncio.to_thread(end_environment, parent.label):
                logger.error("the parent of %s did not end, even after SIGKILL", function.name)
            await process.wait()
            shutil.rmtree(parent.folder, ignore_errors=True)

    async def _start(self, parent: _Parent, function: Function, listener: socket.socket) -> asyncio.subprocess.Process:
        view = self._views.of(function, self._runtimes.python_of(function))
        variables = process_variables(function, "", parent.folder, self._access, view)
        environment = {key: value for key, value in variables.items() if key not in _OF_AN_ENVIRONMENT}
        if function.memory_mb < 2 * MEMORY_PER_CPU_MB:
            # One vCPU means one BLAS thread; more threads would prevent the parent from forking.
            environment.setdefault("OPENBLAS_NUM_THREADS", "1")
        command = [
            view.python,
            str(PARENT),
            str(listener.fileno()),
            view.task,
            function.handler,
            view.runtime,
            view.opt,
        ]
        process = await asyncio.create_subprocess_exec(
            *bound_to_parent(view.command([*command, *view.arguments], parent=True)),
            cwd=parent.folder,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )
        with contextlib.suppress(ProcessLookupError):
            set_label(process.pid, parent.label)
        return process


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(path))
    listener.listen(MOST_WAITING)
    return listener


async def _ended_before(process: asyncio.subprocess.Process, event: asyncio.Event) -> bool:
    """Wait for either; return whether the process has ended without the event."""
    waits = [asyncio.create_task(process.wait()), asyncio.create_task(event.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return process.returncode is not None and not event.is_set()
