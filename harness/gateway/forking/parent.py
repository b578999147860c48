"""A process that has imported what a function needs, and forks the function's runtimes.

    python -m harness.gateway.forking.parent LISTENER CODE HANDLER [--without MODULE ...]

LISTENER is an inherited socket on which clients ask (`client.py`); standard input ends when no more are wanted.
The process then goes on until its last runtime has ended, as the runtimes die with it.

Invariant: a forked runtime behaves as a fresh one.
Libraries are the only thing that it inherits: the function's own modules and the runtime itself are imported after
the fork, with the environment, the descriptors and the arguments of a fresh start.
So the process that forks has one thread and no descriptor that a library opened; a library that breaks this when it
is imported is left to each runtime.
"""

import ctypes
import gc
import importlib
import os
import runpy
import select
import signal
import socket
import struct
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.gateway.forking.compiled import hold_code
from harness.gateway.forking.imports import RUNTIME, imported_by
from harness.gateway.forking.priming import prime_botocore
from harness.system.process_labels import label_of, set_label

# An environment holds what Lambda allows (4 KB), what Lambda itself sets, and what RIE does.
REQUEST_BYTES = 131_072
# Starts a fresh runtime.
BOOTSTRAP = Path(__file__).parents[1] / "runtime" / "bootstrap.py"
# https://man7.org/linux/man-pages/man2/prctl.2.html
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class ForkRequest:
    """What a client asks for.

    Attributes:
        environment: The runtime's environment variables, `NAME=value`.
        descriptors: Its standard input, output and error.
        label: The label that marks its execution environment.
    """

    environment: list[bytes]
    descriptors: list[int]
    label: int


@dataclass
class Runtime:
    """A forked runtime.

    Attributes:
        pid: Its process, which leads a group.
        end: A descriptor that is readable when the process has ended.
        client: The connection of the client that stands in for it; None when that has gone.
    """

    pid: int
    end: int
    client: socket.socket | None


def main() -> None:
    """Imports, then serves; in a forked process this goes on as the runtime."""
    listener, code, handler, *without = sys.argv[1:]
    # The folder of this very process holds no modules, but that of the function would come first here.
    del sys.path[0]
    prepare(Path(code), handler, without[1:])
    refusal = shadowed_by(Path(code)) or unsupported()
    request = Server(socket.socket(fileno=int(listener)), refusal).run()
    if request is not None:
        become_fresh(request, code, handler)
        runpy.run_path(str(BOOTSTRAP), run_name="__main__")


def prepare(code: Path, handler: str, without: list[str]) -> None:
    """Imports the libraries that the function imports.

    Args:
        code: The function's folder.
        handler: `module.function` in it.
        without: Modules that are left to the runtimes.
    """
    imports = imported_by(code, handler)
    hold_code(imports.sources)
    before = open_descriptors()

    def check(name: str) -> None:
        if threads() > 1 or open_descriptors() != before:
            log(f"{name} is left to each runtime: it starts threads or opens files")
            # A thread cannot be taken back: begin anew.
            flag = [] if without else ["--without"]
            os.execv(sys.executable, [*sys.orig_argv, *flag, name])  # noqa: S606 - to become another is the point

    for name in imports.libraries:
        if any(f"{name}.".startswith(f"{module}.") for module in without):
            continue
        import_if_possible(name)
        check(name)
    if "botocore" not in without:
        prime_botocore(imports.services)
        check("botocore")
    # Nothing that was imported is garbage, and a collection would copy the pages that all runtimes share.
    gc.collect()
    gc.freeze()
    sys.stdout.flush()
    sys.stderr.flush()


def import_if_possible(name: str) -> None:
    """Imports what `import name` or `from package import name` means; what fails will fail in the runtime again."""
    package, _, leaf = name.rpartition(".")
    if not hasattr(sys.modules.get(package), leaf):
        with suppress(Exception, SystemExit):
            importlib.import_module(name)


def shadowed_by(code: Path) -> str:
    """Return why nothing may be forked: a module of the function's own would not be found in a forked runtime.

    A fresh runtime does not find modules named as those that its start script imports either, such as `json`.
    """
    names = {path.name.partition(".")[0] for path in code.iterdir()} & set(sys.modules)
    if names:
        names -= imported_at_the_start()
    return f"its own {', '.join(sorted(names))} would not be found" if names else ""


def imported_at_the_start() -> set[str]:
    """Return the modules that a runtime has imported when it puts the function's folder into `sys.path`."""
    import subprocess  # noqa: PLC0415 - the fewer modules this process has imported, the fewer a function can shadow

    script = f"import sys, {RUNTIME}.__main__; print(*sys.modules)"
    # In an empty folder: `-c` puts it first in `sys.path`.
    asked = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=False, text=True)
    return set(asked.stdout.split())


def unsupported() -> str:
    """Why nothing may be forked: a kernel older than 5.3 cannot tell by a descriptor that a process has ended."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        return f"pidfd_open: {error.strerror}"
    return ""


class Server:
    """Forks a runtime for each client that asks.

    Args:
        listener: Where clients ask.
        refusal: Why none can be forked; empty when they can.
    """

    def __init__(self, listener: socket.socket, refusal: str) -> None:
        self._listener = listener
        self._refusal = refusal
        self._control = sys.stdin.fileno()
        self._poll = select.poll()
        self._asking: dict[int, socket.socket] = {}
        self._by_client: dict[int, Runtime] = {}
        self._by_end: dict[int, Runtime] = {}

    def run(self) -> ForkRequest | None:
        """Serves until no more are wanted and all have ended.

        Returns:
            None then; in each forked process, the request that it was forked for.
        """
        if self._refusal:
            log(f"environments start cold: {self._refusal}")
        self._poll.register(self._control, select.POLLIN)
        self._poll.register(self._listener, select.POLLIN)
        wanted = True
        while wanted or self._by_end:
            # One at a time: what is closed for it may be among the others, its number in use again.
            for number, _ in self._poll.poll()[:1]:
                if number == self._control:
                    wanted = False
                    self._poll.unregister(self._control)
                    self._forget(self._listener)
                elif wanted and number == self._listener.fileno():
                    client, _ = self._listener.accept()
                    self._asking[client.fileno()] = client
                    self._poll.register(client, select.POLLIN)
                elif number in self._asking:
                    request = self._fork_for(self._asking.pop(number))
                    if request is not None:
                        return request
                elif number in self._by_client:
                    self._kill(self._by_client.pop(number))
                elif number in self._by_end:
                    self._reap(self._by_end.pop(number))
        return None

    def _fork_for(self, client: socket.socket) -> ForkRequest | None:
        """Forks; returns the request in the forked process alone."""
        request = receive(client)
        if request is None:
            self._forget(client)
            return None
        if not self._refusal and threads() > 1:
            self._refusal = "a library has started a thread meanwhile"
            log(f"environments start cold: {self._refusal}")
        pid = None if self._refusal else fork()
        if pid == 0:
            self._close_all()
            client.close()
            return request
        close(request.descriptors)
        if pid is None:
            send(client, b"cold")
            self._forget(client)
            return None
        runtime = Runtime(pid, os.pidfd_open(pid), client)
        self._by_client[client.fileno()] = self._by_end[runtime.end] = runtime
        self._poll.register(runtime.end, select.POLLIN)
        send(client, b"forked %d" % pid)
        return None

    def _kill(self, runtime: Runtime) -> None:
        """Kill a runtime whose client has gone; the gateway ends what it has started."""
        assert runtime.client is not None  # noqa: S101 - it has only now gone
        self._forget(runtime.client)
        runtime.client = None
        os.kill(runtime.pid, signal.SIGKILL)

    def _reap(self, runtime: Runtime) -> None:
        """The runtime has ended, and its client is to end in the same way."""
        _, status = os.waitpid(runtime.pid, 0)
        self._poll.unregister(runtime.end)
        close([runtime.end])
        if runtime.client is not None:
            send(runtime.client, b"ended %d" % status)
            del self._by_client[runtime.client.fileno()]
            self._forget(runtime.client)

    def _forget(self, connection: socket.socket) -> None:
        self._poll.unregister(connection)
        connection.close()

    def _close_all(self) -> None:
        """Closes what a forked process has no business with; standard input is replaced."""
        self._listener.close()
        for client in self._asking.values():
            client.close()
        for runtime in self._by_end.values():
            close([runtime.end])
            if runtime.client is not None:
                runtime.client.close()


def receive(client: socket.socket) -> ForkRequest | None:
    """The client's request; None when it has gone, or is another user's."""
    try:
        message, descriptors, _, _ = socket.recv_fds(client, REQUEST_BYTES, 3)
        (pid,) = struct.unpack_from("i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    except OSError:
        return None
    label = label_of(pid)
    if label is None or len(descriptors) != 3:
        close(descriptors)
        return None
    return ForkRequest(message.split(b"\0"), descriptors, label)


def become_fresh(request: ForkRequest, code: str, handler: str) -> None:
    """Make a forked process what `python bootstrap.py CODE HANDLER` would be before it runs its first line.

    Args:
        request: Its environment and descriptors.
        code: The function's folder.
        handler: `module.function` in it.
    """
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    set_label(os.getpid(), request.label)
    os.setsid()
    for standard, descriptor in enumerate(request.descriptors):
        os.dup2(descriptor, standard)
    close(request.descriptors)
    os.environb.clear()
    for variable in request.environment:
        name, _, value = variable.partition(b"=")
        os.environb[name] = value
    time.tzset()
    sys.argv[:] = [str(BOOTSTRAP), code, handler]
    sys.orig_argv[:] = [sys.executable, *sys.argv]
    for module in [module for module in sys.modules if module.partition(".")[0] == "harness"]:
        del sys.modules[module]
    # The folder that TMPDIR named, if a library has asked for it.
    tempfile.tempdir = None
    # `random` and OpenSSL see themselves that they were forked.
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


def fork() -> int | None:
    """The pid of a forked process, 0 in itself; None when there can be no more."""
    try:
        return os.fork()
    except OSError as error:
        log(f"an environment starts cold: {error}")
        return None


def send(client: socket.socket, message: bytes) -> None:
    """Answers a client; one that has gone is noticed elsewhere."""
    with suppress(OSError):
        client.send(message)


def close(descriptors: list[int]) -> None:
    """Closes them all."""
    for descriptor in descriptors:
        os.close(descriptor)


def threads() -> int:
    """How many threads this process has, whoever started them."""
    return len(list(Path("/proc/self/task").iterdir()))


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def log(text: str) -> None:
    """Writes a line to the gateway's log."""
    sys.stderr.write(f"pre-imported parent in {Path.cwd()}: {text}\n")


if __name__ == "__main__":
    main()
