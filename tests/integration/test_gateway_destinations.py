"""What does not reach its destination is reported: in the log, to whoever watches the function, and as a metric."""

import asyncio
import logging

import pytest

from harness.gateway.events.destinations import Destinations, EndedEvent
from harness.gateway.limits import ANY_ROLE
from harness.gateway.permissions import Permissions
from tests.support.ports import quiet_port

QUEUE = "arn:aws:sqs:us-east-1:123456789012:gone"
ROLE = "arn:aws:iam::123456789012:role/may-not"


def sent(answer, role, send):
    """Send something to a service with that answer; return the lines for watchers, and the metrics."""
    lines, metrics = [], []

    async def respond(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def run():
        async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1] if answer else quiet_port()
            address = f"http://127.0.0.1:{port}"
            destinations = Destinations(
                address,
                address,
                "a-key",
                Permissions(address, "a-key"),
                lambda function, line: lines.append((function, line)),
                lambda function, metric: metrics.append((function, metric)),
            )
            event = EndedEvent("an-id", "f", role, "an-arn", "RetriesExhausted", 3, b"{}", "$LATEST", None)
            await getattr(destinations, send)(QUEUE, event)

    asyncio.run(run())
    return lines, metrics


def http(status, body):
    """Return an answer."""
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("answer", "role", "why"),
    [
        (http(400, '{"__type": "QueueDoesNotExist"}'), ANY_ROLE, "QueueDoesNotExist"),
        (b"", ANY_ROLE, "Connect"),
        (b"nonsense\r\n\r\n", ANY_ROLE, "no answer in HTTP"),
        (http(200, '{"allowed": false, "message": "no"}'), ROLE, f"the role {ROLE} does not allow sqs:SendMessage"),
    ],
    ids=["gone", "unreachable", "nonsense", "not allowed"],
)
@pytest.mark.parametrize(
    ("send", "metric"),
    [("send_dead_letter", "DeadLetterErrors"), ("send_record", "DestinationDeliveryFailures")],
)
def test_what_does_not_arrive_is_reported(caplog, answer, role, why, send, metric):
    """The line names the event, the function, the queue and the cause."""
    with caplog.at_level(logging.ERROR):
        lines, metrics = sent(answer, role, send)

    ((function, line),) = lines
    assert "f" == function
    assert all(part in line for part in ("an-id", QUEUE, why))
    assert line in caplog.text
    assert [("f", metric)] == metrics
