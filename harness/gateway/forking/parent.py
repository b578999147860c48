"""A process that has imported a function's libraries and forks the function's runtimes.

    python start.py LISTENER CODE HANDLER RUNTIME OPT [VIEW ...] [--without MODULE ...]

RUNTIME is the folder of the start script, OPT that of the layers, and VIEW what `isolation/enter.py` has shown this
process: all paths are as seen from there.
LISTENER is an inherited socket to which clients connect (`client.py`); standard input is closed when no more runtimes
are needed. The process then stays until its last runtime has ended, because the runtimes die with it.

Invariant: a forked runtime behaves as a fresh one.
It inherits only libraries: it imports the function's own modules and the runtime itself after the fork, with the
environment, the descriptors and the arguments of a fresh start.
So the process that forks has one thread and no descriptor that a library opened; a library that violates this when it
is imported is left to each runtime.
"""

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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from harness.gateway.forking.compiled import hold_code
from harness.gateway.forking.imports import RUNTIME, imported_by
from harness.gateway.forking.priming import prime_botocore
from harness.gateway.isolation.enter import View, die_with_parent, parse, separate
from harness.gateway.runtime.bootstrap import layers_in
from harness.system.process_labels import label_of, set_label

# An environment holds the function's variables (at most 4 KB), Lambda's own, and RIE's.
REQUEST_BYTES = 131_072


@dataclass(frozen=True)
class ForkRequest:
    """A client's request for a runtime.

    Attributes:
        environment: The runtime's environment variables, `NAME=value`.
        descriptors: Its standard input, output and error.
        label: The label of its execution environment.
    """

    environment: list[bytes]
    descriptors: list[int]
    label: int


@dataclass
class Runtime:
    """A forked runtime.

    Attributes:
        pid: The pid of its process, which leads a group.
        end: A descriptor that becomes readable when the process has ended.
        client: The connection of the client that stands in for it; None if that has gone.
    """

    pid: int
    end: int
    client: socket.socket | None


def main() -> None:
    """Import the libraries, then serve; in a forked process, go on as the runtime."""
    listener, code, handler, runtime, opt, *options = sys.argv[1:]
    end = options.index("--without") if "--without" in options else len(options)
    prepare(Path(code), handler, opt, options[end + 1 :])
    refusal = shadowed_by(Path(code)) or unsupported()
    request = Server(socket.socket(fileno=int(listener)), refusal).run()
    if request is not None:
        script = f"{runtime}/bootstrap.py"
        become_fresh(request, script, parse(options[:end]))
        runpy.run_path(script, run_name="__main__")


def prepare(code: Path, handler: str, opt: str, without: list[str]) -> None:
    """Import the libraries that the function imports.

    Args:
        code: The function's folder.
        handler: `module.function` in it.
        opt: The folder of its layers; empty if there is none.
        without: Modules that are left to the runtimes.
    """
    imports = imported_by(code, handler)
    hold_code(imports.sources)
    before = open_descriptors()

    def check(name: str) -> None:
        unfit = ""
        if threads() > 1 or open_descriptors() != before:
            unfit = "it starts threads or opens files"
        elif own := own_modules(code, imports.bundled):
            unfit = f"it imports the function's own {own[0]}"
        if unfit:
            log(f"{name} is left to each runtime: {unfit}")
            # A thread cannot be undone, so start again without the module.
            flag = [] if without else ["--without"]
            os.execv(sys.executable, [*sys.orig_argv, *flag, name])  # noqa: S606 - the process must be replaced

    def import_and_check(names: list[str]) -> None:
        for name in names:
            if not any(f"{name}.".startswith(f"{module}.") for module in without):
                import_if_possible(name)
                check(name)

    import_and_check(imports.runtime)
    # The runtime, too, looks into the function's folder only when it has imported what it needs itself.
    with first_in_path([*([str(code)] if imports.bundled else []), *layers_in(opt)]):
        import_and_check(imports.libraries)
        if "botocore" not in without:
            prime_botocore(imports.services)
            check("botocore")
    # Imported objects are never garbage, and a collection would copy the pages that all runtimes share.
    gc.collect()
    gc.freeze()
    sys.stdout.flush()
    sys.stderr.flush()


@contextmanager
def first_in_path(folders: list[str]) -> Iterator[None]:
    """Find modules in folders before all others within the block."""
    sys.path[:0] = folders
    try:
        yield
    finally:
        del sys.path[: len(folders)]


def import_if_possible(name: str) -> None:
    """Import what `import name` or `from package import name` means; an error will recur in the runtime."""
    package, _, leaf = name.rpartition(".")
    if not hasattr(sys.modules.get(package), leaf):
        with suppress(Exception, SystemExit):
            importlib.import_module(name)


def shadowed_by(code: Path) -> str:
    """Return why no runtime may be forked: a module of the function would not be found there; empty if all would be.

    A fresh runtime does not find modules with the names of those that its start script imports either, such as `json`.
    """
    names = {path.name.partition(".")[0] for path in code.iterdir()} & set(sys.modules)
    names -= {name for name in names if is_from(code, sys.modules[name])}
    if names:
        names -= imported_at_the_start()
    return f"its own {', '.join(sorted(names))} would not be found" if names else ""


def own_modules(code: Path, bundled: set[str]) -> list[str]:
    """Return the modules of the function itself that a library has imported; without libraries there, none was."""
    if not bundled:
        return []
    found = [name for name, module in list(sys.modules.items()) if is_from(code, module)]
    return [name for name in found if name.partition(".")[0] not in bundled]


def is_from(code: Path, module: ModuleType) -> bool:
    """Return whether a module was found in the function's folder."""
    spec = getattr(module, "__spec__", None)
    places = [getattr(spec, "origin", None), *(getattr(spec, "submodule_search_locations", None) or ())]
    inside = [str(place) for place in places if str(place).startswith(f"{code}{os.sep}")]
    return any(not place.startswith(f"{code}{os.sep}.lambda-opt{os.sep}") for place in inside)


def imported_at_the_start() -> set[str]:
    """Return the modules that a runtime has imported when it puts the function's folder into `sys.path`."""
    import subprocess  # noqa: PLC0415 - the fewer modules this process has imported, the fewer a function can shadow

    script = f"import sys, {RUNTIME}.__main__; print(*sys.modules)"
    # The working folder is empty, which `-c` requires by putting it first in `sys.path`.
    asked = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=False, text=True)
    return set(asked.stdout.split())


def unsupported() -> str:
    """Return why no runtime may be forked; empty if it may. Kernels before 5.3 have no descriptors for processes."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        return f"pidfd_open: {error.strerror}"
    return ""


class Server:
    """Forks a runtime for each client that requests one.

    Args:
        listener: The socket to which clients connect.
        refusal: Why no runtime can be forked; empty if one can.
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
        """Serve until no more runtimes are needed and all have ended.

        Returns:
            None then; in each forked process, the request that it was forked for.
        """
        if self._refusal:
            log(f"environments start cold: {self._refusal}")
        self._poll.register(self._control, select.POLLIN)
        self._poll.register(self._listener, select.POLLIN)
        accepting = True
        while accepting or self._by_end:
            # Handle one event at a time: it may close descriptors of the others, whose numbers may then be reused.
            for number, _ in self._poll.poll()[:1]:
                if number == self._control:
                    accepting = False
                    self._poll.unregister(self._control)
                    self._forget(self._listener)
                elif accepting and number == self._listener.fileno():
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
        """Fork a runtime for a client; return the request in the forked process only."""
        request = receive(client)
        if request is None:
            self._forget(client)
            return None
        if not self._refusal and threads() > 1:
            self._refusal = "a library has started a thread"
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
        """Kill a runtime whose client has gone; the gateway ends the runtime's children."""
        assert runtime.client is not None  # noqa: S101 - it has only just gone
        self._forget(runtime.client)
        runtime.client = None
        os.kill(runtime.pid, signal.SIGKILL)

    def _reap(self, runtime: Runtime) -> None:
        """Reap a runtime that has ended, and have its client end in the same way."""
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
        """Close the descriptors that a forked process must not keep, except standard input, which is replaced."""
        self._listener.close()
        for client in self._asking.values():
            client.close()
        for runtime in self._by_end.values():
            close([runtime.end])
            if runtime.client is not None:
                runtime.client.close()


def receive(client: socket.socket) -> ForkRequest | None:
    """Return the client's request; None if the client has gone or belongs to another user."""
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


def become_fresh(request: ForkRequest, script: str, view: View) -> None:
    """Bring a forked process into the state of `python bootstrap.py` before its first line.

    Args:
        request: Its environment and descriptors.
        script: The path of that script.
        view: What the parent was shown.
    """
    parent = os.getppid()
    separate(view)
    die_with_parent()
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
    sys.argv[:] = [script]
    sys.orig_argv[:] = [sys.executable, *sys.argv]
    for module in [module for module in sys.modules if module.partition(".")[0] == "harness"]:
        del sys.modules[module]
    # Forget the folder that the parent's TMPDIR named, which a library may have looked up.
    tempfile.tempdir = None
    # `random` and OpenSSL detect a fork themselves.
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


def fork() -> int | None:
    """Return the pid of a forked process, or 0 in that process; None if no more can be forked."""
    try:
        return os.fork()
    except OSError as error:
        log(f"an environment starts cold: {error}")
        return None


def send(client: socket.socket, message: bytes) -> None:
    """Send a message to a client; ignore one that has gone, which the poll notices."""
    with suppress(OSError):
        client.send(message)


def close(descriptors: list[int]) -> None:
    """Close all descriptors."""
    for descriptor in descriptors:
        os.close(descriptor)


def threads() -> int:
    """Return the number of threads of this process, including those that libraries started."""
    return len(list(Path("/proc/self/task").iterdir()))


def open_descriptors() -> int:
    """Return the number of open descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def log(text: str) -> None:
    """Write a line to the gateway's log."""
    sys.stderr.write(f"pre-imported parent of {os.environ.get('AWS_LAMBDA_FUNCTION_NAME')}: {text}\n")


if __name__ == "__main__":
    main()
