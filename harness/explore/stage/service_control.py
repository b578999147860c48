"""How a stage controls its services: the Lambda service over HTTP, the others' state over a socket in their folder."""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import msgspec

from harness.emulation.snapshots import SOCKET, SnapshotAnswer, SnapshotOrder
from harness.errors import HarnessError
from harness.gateway.attempts import InvocationRecord
from harness.gateway.connection import HttpConnection
from harness.gateway.staging import DeliveryRequest, SettleRequest
from harness.guard import authorization
from harness.stack.state import Endpoints

_ANSWERS_WITHIN_S = 30.0


class StageGateway:
    """The Lambda service's routes for a stage; each call has a connection of its own, because some take long.

    Args:
        endpoints: The stack's addresses.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self._address = urlsplit(endpoints.lambda_).netloc
        self._headers = authorization(endpoints.access_key)
        # Asked for each call of a function, one after the other.
        self._free: list[HttpConnection] = []

    async def deliver(self, request: DeliveryRequest, within_s: float) -> list[InvocationRecord]:
        """Deliver an event; return its attempts when all have ended."""
        body = await self._call("POST", "deliveries", msgspec.json.encode(request), within_s=within_s)
        return msgspec.json.decode(body, type=list[InvocationRecord])

    async def running_in(self, environment: str) -> InvocationRecord | None:
        """Return the attempt that an environment runs; None if it runs none, or does not exist."""
        body = await self._call("GET", f"environments/{environment}/invocation", missing_is_fine=True)
        return msgspec.json.decode(body, type=InvocationRecord) if body else None

    async def end(self, environment: str, how: str) -> None:
        """End the invocation of an environment.

        Args:
            environment: Its name.
            how: `killed` or `timed-out`.
        """
        await self._call("POST", f"environments/{environment}/end", query={"how": how})

    async def settle(self, within_s: float) -> None:
        """Return when no invocation runs or waits."""
        body = msgspec.json.encode(SettleRequest(within_s))
        await self._call("POST", "settle", body, within_s=within_s + _ANSWERS_WITHIN_S)

    async def begin_afresh(self) -> None:
        """End all invocations and environments."""
        await self._call("POST", "afresh")

    async def forget(self) -> None:
        """Remove all functions, too."""
        await self._call("POST", "reset")

    async def _call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        query: Mapping[str, str] | None = None,
        within_s: float = _ANSWERS_WITHIN_S,
        missing_is_fine: bool = False,
    ) -> bytes:
        path = f"/_harness/{path}" + (f"?{urlencode(query)}" if query else "")
        connection = self._free.pop() if self._free else HttpConnection(self._address)
        try:
            answer = await connection.request(method, path, body, self._headers, within_s)
        except (OSError, TimeoutError) as error:
            raise HarnessError(
                "the stage's Lambda service does not answer", f"{method} {path}: {str(error) or type(error).__name__}"
            ) from error
        self._free.append(connection)
        if answer.status == 404 and missing_is_fine:
            return b""
        if answer.status >= 400:
            raise HarnessError(_message(answer.body), f"{method} {path}: {answer.status}")
        return answer.body


def _message(body: bytes) -> str:
    try:
        content = msgspec.json.decode(body)
        return str(content.get("message") or content["Message"])
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return body[:400].decode(errors="replace")


class SnapshotControl:
    """The state of all services but Lambda.

    Args:
        folder: The stack's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_ANSWERS_WITHIN_S)
        # A path to a socket has at most 107 bytes, and a project's folder may be deep.
        descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        try:
            self._socket.connect(f"/proc/self/fd/{descriptor}/{SOCKET}")
        finally:
            os.close(descriptor)
        self._lines = self._socket.makefile("rb")

    def take(self) -> SnapshotAnswer:
        """Take the state as it is; no request may be in progress."""
        return self._order("snapshot")

    def restore(self) -> SnapshotAnswer:
        """Bring the state back."""
        return self._order("restore")

    def serve(self) -> SnapshotAnswer:
        """Bring the state back, and let it change for good, until it is taken again."""
        return self._order("serve")

    def close(self) -> None:
        """Close the connection."""
        self._lines.close()
        self._socket.close()

    def _order(self, what: str) -> SnapshotAnswer:
        begun = time.monotonic()
        try:
            self._socket.sendall(msgspec.json.encode(SnapshotOrder(what)) + b"\n")
            line = self._lines.readline()
        except OSError as error:
            raise HarnessError("the stage's services do not answer", f"{what}: {error}") from error
        if not line:
            raise HarnessError("the stage's services have ended", f"{what}, after {time.monotonic() - begun:.1f} s")
        answer = msgspec.json.decode(line, type=SnapshotAnswer)
        if answer.error:
            raise HarnessError("the stage's services refuse", answer.error)
        return answer
