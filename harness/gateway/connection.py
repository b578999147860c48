"""HTTP/1.1 for the gateway's calls to services on its own machine: one kept-open connection, one request at a time.

A general client spends more time on a request than an emulator on its answer.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

HEAD_END = b"\r\n\r\n"


class HttpError(OSError):
    """The service has gone away, or does not speak HTTP."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer.

    Attributes:
        status: Its code.
        body: Its content, whole.
        is_last: Whether the service closes the connection behind it.
    """

    status: int
    body: bytes
    is_last: bool


class HttpConnection:
    """A connection that is opened when it is needed, and anew when the service has closed it meanwhile.

    After an error or a cancelled request its state is unknown, and it is closed.

    Args:
        address: `host:port`.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._exchange: _Exchange | None = None

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> HttpAnswer:
        """Sends a request and returns its answer; nothing is sent twice.

        Args:
            path: The path, with a slash at the beginning.
            body: What is sent.
            headers: Beside those that HTTP needs; without line breaks.
            timeout_s: For all of it.

        Raises:
            OSError: There is no answer: the service cannot be reached, or see `HttpError`.
            TimeoutError: It did not come in time.
        """
        lines = [f"POST {path} HTTP/1.1", f"Host: {self._address}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        request = "\r\n".join(lines).encode("latin-1") + HEAD_END + body
        answer = None
        try:
            async with asyncio.timeout(timeout_s):
                exchange = await self._connected()
                answer = await exchange.ask(request)
                return answer
        finally:
            if answer is None or answer.is_last:
                self.close()

    def close(self) -> None:
        """Closes the connection; the next request opens another."""
        if self._exchange is not None:
            self._exchange.close()
        self._exchange = None

    async def _connected(self) -> "_Exchange":
        if self._exchange is None or not self._exchange.is_open:
            self.close()
            host, _, port = self._address.rpartition(":")
            loop = asyncio.get_running_loop()
            _, self._exchange = await loop.create_connection(_Exchange, host, int(port))
        return self._exchange


class _Exchange(asyncio.Protocol):
    """What goes over one connection."""

    def __init__(self) -> None:
        self.is_open = False
        self._received = bytearray()
        self._answer: asyncio.Future[HttpAnswer] | None = None
        self._transport: asyncio.Transport | None = None

    def ask(self, request: bytes) -> asyncio.Future[HttpAnswer]:
        """Sends a request, and gives what its answer will be in."""
        assert self._transport is not None  # noqa: S101 - it is connected
        self._received.clear()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def close(self) -> None:
        """Closes the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """For asyncio."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP's
        self._transport = transport
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """For asyncio."""
        self._received += data
        self._look(ended=False)

    def connection_lost(self, error: Exception | None) -> None:
        """For asyncio."""
        self.is_open = False
        self._look(ended=True)
        self._fail(HttpError(f"the connection was lost: {error}" if error else "the connection was closed"))

    def _look(self, *, ended: bool) -> None:
        try:
            answer = read_answer(self._received, ended=ended)
        except ValueError as error:
            self._fail(HttpError(f"no answer in HTTP: {error}"))
            return
        if answer is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def _fail(self, error: HttpError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


def read_answer(received: bytes | bytearray, *, ended: bool) -> HttpAnswer | None:
    """The answer at the beginning of what was received; None while it is not whole.

    Args:
        received: All that came since the request.
        ended: Whether no more can come.

    Raises:
        ValueError: It is not HTTP.
    """
    end = received.find(HEAD_END)
    if end < 0:
        return None
    status_line, *lines = received[:end].decode("latin-1").split("\r\n")
    version, status, _ = f"{status_line}  ".split(" ", 2)
    if version not in {"HTTP/1.0", "HTTP/1.1"}:
        raise ValueError(f"begins with {status_line[:40]!r}")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    start = end + len(HEAD_END)
    is_last = version == "HTTP/1.0" or headers.get("connection", "").lower() == "close"
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = _join_chunks(received, start)
    elif "content-length" in headers:
        length = int(headers["content-length"])
        body = bytes(received[start : start + length]) if len(received) >= start + length else None
    else:
        # It ends with the connection.
        body, is_last = bytes(received[start:]) if ended else None, True
    return None if body is None else HttpAnswer(int(status), body, is_last)


def _join_chunks(received: bytes | bytearray, start: int) -> bytes | None:
    """A body in chunks, joined; None while the last one is missing.

    Raises:
        ValueError: A chunk does not begin with its size.
    """
    chunks: list[bytes] = []
    while (end := received.find(b"\r\n", start)) >= 0:
        size = int(received[start:end].partition(b";")[0], 16)
        start = end + 2
        if len(received) < start + size + 2:
            return None
        if size == 0:
            return b"".join(chunks)
        chunks.append(bytes(received[start : start + size]))
        start += size + 2
    return None
