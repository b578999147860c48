"""A TCP link that breaks when so much has been sent through it, and stays broken until it is mended."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_CHUNK_BYTES = 1 << 16


class CutLink:
    """Passes connections on to a service.

    Args:
        target: `host:port` of the service.
        after_bytes: So much goes towards the service before the link breaks.
    """

    def __init__(self, target: str, after_bytes: int) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._lock = threading.Lock()
        self._left: int | None = after_bytes
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def is_cut(self) -> bool:
        """Whether it is broken."""
        return self._left == 0

    def mend(self) -> None:
        """From now on everything passes."""
        with self._lock:
            self._left = None

    def close(self) -> None:
        """Ends the link and its connections."""
        self._listener.close()
        self._cut_connections()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self.is_cut:
                    near.close()
                    continue
                far = socket.create_connection(self._target)
                self._open |= {near, far}
                for source, sink, counts in ((near, far, True), (far, near, False)):
                    threading.Thread(target=self._pass_on, args=(source, sink, counts), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, counts: bool) -> None:  # noqa: FBT001
        with suppress(OSError):
            while chunk := source.recv(_CHUNK_BYTES):
                if counts and not self._spend(len(chunk)):
                    self._cut_connections()
                    return
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_WR)

    def _spend(self, count: int) -> bool:
        with self._lock:
            if self._left is None:
                return True
            self._left = max(0, self._left - count)
            return self._left > 0

    def _cut_connections(self) -> None:
        for connection in list(self._open):
            self._open.discard(connection)
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


@contextmanager
def cut_link(target: str, after_bytes: int) -> Iterator[CutLink]:
    """A link for the block."""
    link = CutLink(target, after_bytes)
    try:
        yield link
    finally:
        link.close()
