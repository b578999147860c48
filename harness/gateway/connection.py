"""HTTP/1.1 for a gateway's calls to services on its own machine: one kept-open connection, one request at a time.

A general client spends more time on a request than an emulator on its answer.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

HEAD_END = b"\r\n\r\n"
# Answers are of some megabytes at most.
LONGEST_LINE_BYTES = 65_536


class HttpError(OSError):
    """The service cannot be reached, has gone away, or does not speak HTTP."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status and body of an answer."""

    status: int
    body: bytes


class HttpConnection:
    """A connection that is opened when it is needed, and anew when the service has closed it meanwhile.

    After an error or a cancelled request its state is unknown, and it is closed.

    Args:
        address: `host:port`.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> HttpAnswer:
        """Sends a request and returns its answer; nothing is sent twice.

        Args:
            path: The path, with a slash at the beginning.
            body: What is sent.
            headers: Beside those that HTTP needs; without line breaks.
            timeout_s: For all of it.

        Raises:
            HttpError: There is no answer.
            TimeoutError: It did not come in time.
        """
        lines = [f"POST {path} HTTP/1.1", f"Host: {self._address}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join(lines).encode("latin-1")
        whole = False
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await self._connected()
                writer.write(head + HEAD_END + body)
                await writer.drain()
                answer, stays = await _read_answer(reader)
            whole = stays
            return answer
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            raise HttpError(f"{self._address}: no answer in HTTP: {error}") from error
        finally:
            if not whole:
                self.close()

    def close(self) -> None:
        """Closes the connection; the next request opens another."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None or self._reader.at_eof() or self._writer.is_closing():
            self.close()
            host, _, port = self._address.rpartition(":")
            self._reader, self._writer = await asyncio.open_connection(host, int(port), limit=LONGEST_LINE_BYTES)
        return self._reader, self._writer


async def _read_answer(reader: asyncio.StreamReader) -> tuple[HttpAnswer, bool]:
    """The next answer, and whether another may follow on the connection.

    Raises:
        ValueError: It is not HTTP.
    """
    status_line, *lines = (await reader.readuntil(HEAD_END)).decode("latin-1").split("\r\n")
    version, status, _ = f"{status_line}  ".split(" ", 2)
    if version not in {"HTTP/1.0", "HTTP/1.1"}:
        raise ValueError(f"begins with {status_line[:40]!r}")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    stays = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _read_chunks(reader)
    elif "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    elif status in {"204", "304"}:
        body = b""
    else:
        body, stays = await reader.read(-1), False
    return HttpAnswer(int(status), body), stays


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    # Trailers, if any, end with an empty line.
    while (await reader.readuntil(b"\r\n")) != b"\r\n":
        pass
    return bytes(body)
