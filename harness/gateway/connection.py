"""HTTP/1.1 for the gateway's calls to services on its own machine: one kept-open connection, one request at a time.

A general client spends more time on a request than an emulator on its answer.
httptools parses the answers; h11 would more than double the cost of a request (decision 42).
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import httptools

_LENGTH_HEADERS = {b"content-length", b"transfer-encoding"}


class HttpError(OSError):
    """The service has closed the connection, or does not speak HTTP."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer.

    Attributes:
        status: Its status code.
        body: Its whole content.
        is_last: Whether the service closes the connection after it.
    """

    status: int
    body: bytes
    is_last: bool


class HttpConnection:
    """A connection that opens for the first request, and again for a request after the service has closed it.

    It is closed after an error or a cancelled request, because its state is then unknown.

    Args:
        address: `host:port`.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._exchange: _Exchange | None = None

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> HttpAnswer:
        """Send a POST request and return its answer, as `request` does."""
        return await self.request("POST", path, body, headers, timeout_s)

    async def get(self, path: str, headers: Mapping[str, str], timeout_s: float) -> HttpAnswer:
        """Send a GET request and return its answer, as `request` does."""
        return await self.request("GET", path, b"", headers, timeout_s)

    async def request(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> HttpAnswer:
        """Send a request and return its answer; nothing is sent twice.

        Args:
            method: The method, whose answers may have content.
            path: The path, with a slash at the beginning.
            body: The content of the request.
            headers: Further headers than HTTP needs; without line breaks.
            timeout_s: Limit for the whole exchange.

        Raises:
            OSError: There is no answer: the service cannot be reached, or see `HttpError`.
            TimeoutError: The answer did not arrive in time.
        """
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._address}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        request = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
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
        """Close the connection; the next request opens another."""
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


class AnswerParser:
    """Assembles answers from the bytes of one connection; httptools calls the `on_...` methods.

    Args:
        on_answer: Called with each answer as soon as it is complete.
    """

    def __init__(self, on_answer: Callable[[HttpAnswer], None]) -> None:
        self._on_answer = on_answer
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._is_in_body = self._has_length = False

    def feed(self, data: bytes) -> None:
        """Parse the next bytes.

        Raises:
            ValueError: They are not HTTP.
        """
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise ValueError(str(error)) from error

    def end(self) -> None:
        """Complete an answer without a length, which ends with its connection."""
        if self._is_in_body and not self._has_length:
            self.on_message_complete()

    def on_message_begin(self) -> None:
        """Forget the previous answer."""
        self._parts = []
        self._is_in_body = self._has_length = False

    def on_header(self, name: bytes, _value: bytes) -> None:
        """Note whether the body's end is announced."""
        self._has_length |= name.lower() in _LENGTH_HEADERS

    def on_headers_complete(self) -> None:
        """Note that the body begins."""
        self._is_in_body = True

    def on_body(self, part: bytes) -> None:
        """Keep a part of the body, without the frame of its chunk."""
        self._parts.append(part)

    def on_message_complete(self) -> None:
        """Pass the answer on, unless it announces another one, such as `100 Continue`."""
        self._is_in_body = False
        status = self._parser.get_status_code()
        if status >= HTTPStatus.OK:
            is_last = not self._parser.should_keep_alive()
            self._on_answer(HttpAnswer(status, b"".join(self._parts), is_last))


class _Exchange(asyncio.Protocol):
    """The requests and answers of one connection."""

    def __init__(self) -> None:
        self.is_open = False
        self._parser = AnswerParser(self._answered)
        self._answer: asyncio.Future[HttpAnswer] | None = None
        self._transport: asyncio.Transport | None = None

    def ask(self, request: bytes) -> asyncio.Future[HttpAnswer]:
        """Send a request, and return the future of its answer."""
        assert self._transport is not None  # noqa: S101 - it is connected
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def close(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; asyncio calls this."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP's
        self._transport = transport
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Parse the data; asyncio calls this."""
        try:
            self._parser.feed(data)
        except ValueError as error:
            self._fail(HttpError(f"no answer in HTTP: {error}"))
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        """Complete the answer that ends with its connection, or fail the request; asyncio calls this."""
        self.is_open = False
        self._parser.end()
        self._fail(HttpError(f"the connection was lost: {error}" if error else "the connection was closed"))

    def _answered(self, answer: HttpAnswer) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def _fail(self, error: HttpError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
