"""One function behind one RIE in the foreground, run from its source folder, for curl and for a debugger.

RIE accepts invocations at `/2015-03-31/functions/function/invocations`, as in a container image.

Invariant: however `serve` ends, no process that it or the function started is left.
"""

import os
import signal
import socket
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from harness.errors import HarnessError
from harness.gateway.environment import RIE_PATH
from harness.gateway.rie_process import DEBUGGER, rie_command
from harness.gateway.sandbox import READY_POLL_S, READY_WITHIN_S
from harness.gateway.scratch import scratch_folder
from harness.settings import FunctionSettings
from harness.stack.state import StackState, client_environment
from harness.system.process_identity import reserved_ports
from harness.system.process_labels import end_environment, environment_label, own_stack_label, set_label

__all__ = ["RIE_PATH", "serve"]

RUNTIME = Path(__file__).with_name("terminal_runtime.py")
# Variables that configure the user's terminal and debugger.
_OF_THE_TERMINAL = ("PYTHONBREAKPOINT", "TERM")


def serve(  # noqa: PLR0913 - keywords, each given by a function or its stack
    name: str,
    function: FunctionSettings,
    *,
    rie: Path,
    python: Path,
    libraries: Sequence[Path],
    stack: StackState,
    port: int,
    listening: Callable[[], None],
    pdb: bool = False,
) -> int:
    """Run RIE until a signal ends it.

    Args:
        name: The function's name.
        function: Its table in harness.toml.
        rie: The RIE binary.
        python: The interpreter of its runtime.
        libraries: The folders of its libraries.
        stack: The stack whose services the function uses.
        port: The port on the loopback interface for invocations.
        listening: Called when RIE accepts invocations.
        pdb: Whether a post-mortem opens when the function raises.

    Returns:
        128 plus the number of the signal; 0 if RIE itself was asked to end.

    Raises:
        HarnessError: The port is taken, RIE does not start, or it dies.
    """
    family = own_stack_label()
    label = environment_label(family, 1)
    variables = {
        "LANG": "en_US.UTF-8",
        # The parent folder of an included library corresponds to the package's root on AWS, and so do the libraries.
        "PYTHONPATH": os.pathsep.join(map(str, (*(folder.parent for folder in function.include), *libraries))),
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout_s),
        # The user's AWS settings do not apply here.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        **{key: os.environ[key] for key in _OF_THE_TERMINAL if key in os.environ},
        **client_environment(stack),
        **function.environment,
    }
    with (
        _ended_by_signals(),
        _terminal_as_before(),
        _held_port(port),
        _standard_input() as stdin,
        reserved_ports(1) as (runtime_api,),
        scratch_folder(family) as scratch,
    ):
        variables = {"PATH": f"{python.parent}:{os.defpath}", "TMPDIR": str(scratch), **variables}
        runtime = [str(python), "-P", str(RUNTIME), str(stdin), str(function.source), function.handler]
        if pdb:
            runtime += [str(DEBUGGER), str(function.source), *map(str, function.include)]
        command = rie_command(rie, port, runtime_api, runtime)
        process = subprocess.Popen(command, cwd=scratch, env=variables, pass_fds=[stdin])
        try:
            set_label(process.pid, label)
            _wait_until_it_listens(process, port)
            listening()
            status = process.wait()
            if status:
                raise HarnessError(f"RIE has ended by itself: {_format_status(status)}", f"function {name}")
            return status
        except _EndRequested as ended:
            return 128 + ended.number
        finally:
            end_environment(label)
            process.kill()  # a signal may have come before it had its label
            process.wait()


def _format_status(status: int) -> str:
    return f"exit status {status}" if status > 0 else signal.Signals(-status).name


class _EndRequested(BaseException):
    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__()


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Turn the first signal that ends a process into `_EndRequested`; the shutdown itself is not interrupted."""
    asked = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    # Signals that the caller ignores stay ignored: SIGHUP under `nohup`, SIGINT of a background job.
    numbers = [number for number in asked if signal.getsignal(number) is not signal.SIG_IGN]

    def end(number: int, _frame: FrameType | None) -> None:
        for other in numbers:
            signal.signal(other, signal.SIG_IGN)
        raise _EndRequested(number)

    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _terminal_as_before() -> Iterator[None]:
    """Restore the terminal's settings: a debugger that is killed at its prompt leaves the terminal without echo."""
    try:
        before = termios.tcgetattr(0)
    except termios.error:  # standard input is no terminal
        yield
        return
    try:
        yield
    finally:
        with suppress(termios.error):  # it was closed
            termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextmanager
def _held_port(port: int) -> Iterator[None]:
    """Reserve a free port; RIE can listen on it all the same.

    Raises:
        HarnessError: The port is in use, or ordinary users may not listen on it.
    """
    with socket.socket() as holder:
        # As RIE does, so that connections that have just ended do not matter.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind(("127.0.0.1", port))
        except OSError as error:
            raise HarnessError(
                f"cannot listen on port {port}: {error.strerror}", remedy="choose another with --port"
            ) from error
        yield


@contextmanager
def _standard_input() -> Iterator[int]:
    """Yield a copy of the standard input for RIE's runtime to inherit."""
    try:
        copy = os.dup(0)
    except OSError:  # it is closed
        copy = os.open(os.devnull, os.O_RDONLY)
    try:
        yield copy
    finally:
        os.close(copy)


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(READY_POLL_S)
    if process.returncode is None:
        raise HarnessError(f"RIE did not listen on port {port} within {READY_WITHIN_S:.0f} s")
    raise HarnessError(f"RIE ended at once, with status {process.returncode}", f"port {port}", "choose another --port")
