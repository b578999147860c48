"""One connection to a Memcached node: it sends whole requests and receives values in place.

    request    any number of commands, in one system call if they are small
    reply      lines, and behind a `VALUE` line its bytes: from the buffer, or from the socket into a receive buffer

A large request is sent while its first replies are received: neither end waits for the other to read.
After any error the state of the stream is unknown: the connection is closed, and the next request opens another.
"""

import select
import socket
import struct
from collections.abc import Sequence

from training.exchange.channel.base import ReceiveBuffer

# Small replies, and those of many ranks at once, are received with one system call.
BUFFER_BYTES = 65_536
# Above this size a copy into one request costs more than the kernel's gathering.
JOIN_BYTES = 32_768
# The kernel's limit is 1,024 parts in a call.
MOST_PARTS = 512
_END = b"\r\n"
_TIMEVAL = struct.Struct("@ll")


class NoAnswerError(TimeoutError):
    """The node accepted the connection and does not answer."""


class ClosedError(ConnectionError):
    """The node has closed the connection."""


class Connection:
    """A connection that is opened by the first request.

    Args:
        host: The node.
        port: Its port.
        timeout_s: Limit for connecting and for every wait for the node.
    """

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self.name = f"{host}:{port}"
        self._address, self._timeout_s = (host, port), timeout_s
        self._socket: socket.socket | None = None
        self._bytes = bytearray(BUFFER_BYTES)
        self._buffer = memoryview(self._bytes)
        self._start = self._end = 0
        self._unsent: list[memoryview] = []

    def send(self, parts: Sequence[bytes | memoryview]) -> None:
        """Send a request; the part that the node does not take at once is sent while waiting for its replies.

        Raises:
            OSError: The node is not reachable or does not take it.
        """
        if self._unsent:
            # The last request was refused before all of it was sent: the node would take this one for the rest.
            self.close()
        connected = self._socket or self._connect()
        if sum(map(len, parts)) > JOIN_BYTES:
            self._unsent = [memoryview(part) for part in parts]
            self._send_on(connected)
            return
        try:
            connected.sendall(b"".join(parts))
        except BlockingIOError as error:
            raise self._timed_out() from error

    def _send_on(self, connected: socket.socket) -> None:
        """Send as much of the rest as the node takes at once."""
        try:
            sent = connected.sendmsg(self._unsent[:MOST_PARTS], (), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        taken = 0
        while taken < len(self._unsent) and sent >= len(self._unsent[taken]):
            sent -= len(self._unsent[taken])
            taken += 1
        del self._unsent[:taken]
        if sent:
            self._unsent[0] = self._unsent[0][sent:]

    def line(self) -> bytes:
        """Return the next line of the reply, without its end.

        Raises:
            OSError: The node is gone, silent, or sends no lines.
        """
        while (at := self._bytes.find(_END, self._start, self._end)) < 0:
            self._fill()
        line = bytes(self._buffer[self._start : at])
        self._start = at + len(_END)
        return line

    def value(self, length: int, buffer: ReceiveBuffer | None) -> bytes | ReceiveBuffer:
        """Return the bytes behind a `VALUE` line: in the buffer, if there is one of this length.

        Raises:
            OSError: The node is gone or silent.
        """
        if buffer is not None and sum(map(len, buffer)) == length:
            for part in buffer:
                self._receive(part)
            self._skip_end()
            return buffer
        if self._start + length + len(_END) <= self._end:
            value = bytes(self._buffer[self._start : self._start + length])
            self._start += length
        else:
            whole = bytearray(length)
            self._receive(memoryview(whole))
            value = bytes(whole)
        self._skip_end()
        return value

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._start, self._end = None, 0, 0
        self._unsent = []

    def _connect(self) -> socket.socket:
        connected = socket.create_connection(self._address, timeout=self._timeout_s)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The kernel's own limits: Python's would ask it before every call whether the socket is ready.
        limit = _TIMEVAL.pack(int(self._timeout_s), int(self._timeout_s % 1 * 1e6))
        connected.settimeout(None)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._socket = connected
        return connected

    def _fill(self) -> None:
        if self._start:
            left = self._end - self._start
            self._buffer[:left] = self._buffer[self._start : self._end]
            self._start, self._end = 0, left
        if self._end == BUFFER_BYTES:
            raise ConnectionError(f"the answer has no end within {BUFFER_BYTES} bytes")
        self._end += self._receive_into(self._buffer[self._end :])

    def _receive(self, target: memoryview) -> None:
        buffered = min(len(target), self._end - self._start)
        target[:buffered] = self._buffer[self._start : self._start + buffered]
        self._start += buffered
        while buffered < len(target):
            buffered += self._receive_into(target[buffered:], socket.MSG_WAITALL)

    def _receive_into(self, target: memoryview, flags: int = 0) -> int:
        if self._socket is None:
            raise ConnectionError("the connection was closed")
        if self._unsent:
            self._send_until_readable(self._socket)
            flags = 0
        try:
            count = self._socket.recv_into(target, 0, flags)
        except BlockingIOError as error:
            raise self._timed_out() from error
        if not count:
            raise ClosedError("the connection was closed by Memcached")
        return count

    def _send_until_readable(self, connected: socket.socket) -> None:
        """Send until there is something to receive, or all is sent."""
        poll = select.poll()
        poll.register(connected, select.POLLIN | select.POLLOUT)
        while self._unsent:
            events = poll.poll(1e3 * self._timeout_s)
            if not events:
                raise self._timed_out()
            if events[0][1] & select.POLLOUT:
                self._send_on(connected)
            if events[0][1] & ~select.POLLOUT:
                return

    def _timed_out(self) -> NoAnswerError:
        return NoAnswerError(f"no answer within {self._timeout_s:g} s")

    def _skip_end(self) -> None:
        while self._end - self._start < len(_END):
            self._fill()
        self._start += len(_END)
