"""A server whose state is taken as a snapshot and brought back in milliseconds: a process is the state.

    template    serves until it is told `snapshot`, then only forks, until it is told `serve`
    fork        serves on the same listening socket, from the template's state, until the next `restore` kills it

    client                          template
    {"do": "snapshot"}  ----------> ends its threads, forks            {"seconds": ..., "threads": [...]}
    {"do": "restore"}   ----------> kills the fork, forks again        {"seconds": ...}
    {"do": "serve"}     ----------> kills the fork, and serves itself  {"seconds": ...}

One process that forks must have one thread, so the template first lets its connections end: a thread that is left
belongs to a service, works on after the snapshot, and is named in the answer.
A connection that arrives between two forks waits in the listening socket's queue.
"""

import gc
import importlib
import os
import signal
import socket
import socketserver
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import msgspec
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler

from harness.system.process_life import die_with_parent

# The name of the control socket in the stack's folder, which only its owner may enter.
SOCKET = "snapshots"
# How long the requests in progress may take before a snapshot.
QUIET_WITHIN_S = 5.0
# How often the template looks whether it shall stop to serve.
_POLL_S = 0.01


class SnapshotOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the template shall do.

    Attributes:
        do: `snapshot` while the template serves, `restore` or `serve` while a fork does.
    """

    do: str


class SnapshotAnswer(msgspec.Struct, frozen=True):
    """What it has done.

    Attributes:
        seconds: How long it took.
        threads: Threads of services that no fork has.
        error: Why nothing was done; empty otherwise.
    """

    seconds: float = 0.0
    threads: tuple[str, ...] = ()
    error: str = ""


class Endable:
    """Mixed into a request handler: its connections can be ended from outside, an idle one at once."""

    connection: socket.socket
    _open: ClassVar[set["Endable"]] = set()

    def setup(self) -> None:
        """Begin a connection."""
        super().setup()  # type: ignore[misc]  # of the handler
        self._open.add(self)

    def finish(self) -> None:
        """End a connection."""
        self._open.discard(self)
        super().finish()  # type: ignore[misc]  # of the handler

    @classmethod
    def end_all(cls) -> None:
        """Let no connection read a further request."""
        for one in list(cls._open):
            with suppress(OSError):
                one.connection.shutdown(socket.SHUT_RD)


def endable(handler: type[WSGIRequestHandler]) -> type[WSGIRequestHandler]:
    """Return a request handler whose connections can be ended from outside."""
    return type(f"Endable{handler.__name__}", (Endable, handler), {})


class Snapshots:
    """The template of a server.

    Args:
        server: The server; its request handler is an `endable` one.
        folder: The folder for the control socket.
    """

    def __init__(self, server: BaseWSGIServer, folder: Path) -> None:
        self._server = server
        self._fork = 0
        self._serving: threading.Thread | None = None
        self._listener = _listen(folder)

    def run(self) -> None:
        """Serve and take orders until a signal ends the process."""
        self._begin_to_serve()
        while True:
            client, _ = self._listener.accept()
            with client, client.makefile("rb") as lines:
                for line in lines:
                    client.sendall(msgspec.json.encode(self._obey(line)) + b"\n")

    def _obey(self, line: bytes) -> SnapshotAnswer:
        begun = time.monotonic()
        try:
            order = msgspec.json.decode(line, type=SnapshotOrder).do
        except msgspec.DecodeError as error:
            return SnapshotAnswer(error=str(error))
        threads: tuple[str, ...] = ()
        if order == "snapshot" and self._serving is not None:
            threads = self._end_threads(self._serving)
            self._begin_fork()
        elif order == "restore" and self._fork:
            self._end_fork()
            self._begin_fork()
        elif order == "serve" and self._fork:
            self._end_fork()
            self._begin_to_serve()
        else:
            return SnapshotAnswer(error=f"{order!r} is no order at this point")
        return SnapshotAnswer(time.monotonic() - begun, threads)

    def _begin_to_serve(self) -> None:
        self._serving = threading.Thread(target=self._serve, args=(_POLL_S,))
        self._serving.start()

    def _end_threads(self, serving: threading.Thread) -> tuple[str, ...]:
        """Stop to serve, and return the names of the threads that are left."""
        self._server.shutdown()
        serving.join()
        self._serving = None
        Endable.end_all()
        deadline = time.monotonic() + QUIET_WITHIN_S
        others = [one for one in threading.enumerate() if one is not threading.current_thread()]
        for thread in others:
            thread.join(max(0.0, deadline - time.monotonic()))
        # Explorations ask each fork for its content: what reads it is imported once, not in each of them.
        importlib.import_module("harness.emulation.content")
        # What the forks have in common is no garbage; a collection would copy its pages.
        gc.collect()
        gc.freeze()
        return tuple(sorted(_name(thread) for thread in others if thread.is_alive()))

    def _end_fork(self) -> None:
        os.kill(self._fork, signal.SIGKILL)
        os.waitpid(self._fork, 0)
        self._fork = 0

    def _begin_fork(self) -> None:
        template = os.getpid()
        self._fork = os.fork()
        if self._fork:
            return
        try:
            self._listener.close()
            if die_with_parent(template):
                self._serve(60.0)
        finally:
            # Whatever happens, this process must not return into the template's loop.
            os._exit(1)

    def _serve(self, poll_s: float) -> None:
        # Not werkzeug's own method, which closes the listening socket in the end.
        socketserver.BaseServer.serve_forever(self._server, poll_s)


def _listen(folder: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # A path to a socket has at most 107 bytes, and a project's folder may be deep.
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    listener.bind(f"/proc/self/fd/{descriptor}/{SOCKET}")
    os.close(descriptor)
    listener.listen()
    return listener


def _name(thread: threading.Thread) -> str:
    target = getattr(thread, "_target", None)
    return getattr(target, "__module__", "") or type(thread).__module__
