"""An invocation ends, and an event leaves a record, whatever fails in the gateway."""

import asyncio
import base64
import io
import json
import re
import zipfile
from datetime import UTC, datetime

import pytest

from harness.gateway.account import AccountLimits
from harness.gateway.debugging import Debugging
from harness.gateway.environment import Environment
from harness.gateway.events.destinations import Destinations
from harness.gateway.faults import InvocationFaults
from harness.gateway.functions import FunctionStore
from harness.gateway.invocations import Invocation, Invoker
from harness.gateway.limits import ANY_ROLE, ARCHITECTURE
from harness.gateway.logs.metrics import Metrics
from harness.gateway.names import Identifier
from harness.gateway.packages import CodeFolders
from harness.gateway.permissions import Permissions
from harness.gateway.pool import Pool
from harness.gateway.records import EventInvokeConfig, Function
from harness.gateway.requests import FunctionCode, ImageConfig
from harness.gateway.traces import trace_of

QUEUE = "arn:aws:sqs:us-east-1:123456789012:records"
F = Identifier("f", "")


class BrokenSandbox:
    """A sandbox that fails when it is used."""

    alive, shares_output = True, False

    def thaw(self):
        """Fail."""
        raise KeyError("no such process")

    async def stop(self):
        """Fail, too."""
        raise RuntimeError("cannot be stopped")


class Unconnected:
    """A connection that was never opened."""

    def close(self):
        """Do nothing."""


class Log(list[str]):
    """A log stream that is never full."""

    full = False

    def begin(self, request_id):
        """Do nothing, because the lines have one reader."""

    def write(self, text, *, urgent=False):  # noqa: ARG002 - as a stream has it
        """Keep the lines."""
        self.extend(text.splitlines())


async def none_starts(function):
    """Fail as for a variable that no process can have."""
    raise ValueError(f"embedded null byte in {function.name}")


async def broken_ones_start(function):
    """Return an environment that fails during an invocation."""
    return Environment(function, BrokenSandbox(), Unconnected(), Log(), "2026/01/01/[$LATEST]0123456789abcdef")


def with_invoker(folder, start, use):
    """Return a coroutine's result with an invoker, the lines that it logged, and the records that reached its queue."""
    logged, records = [], []

    async def take(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        records.append(json.loads(json.loads(await reader.readexactly(length))["MessageBody"]))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def run():
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as package:
            package.writestr("app.py", "")
        async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            code, account = CodeFolders(folder), AccountLimits(10)
            functions = FunctionStore(code.package, account)
            package = code.package("f", FunctionCode(encoded(archive)), ImageConfig(), ARCHITECTURE)
            functions.create("f", lambda: function_of(package), {})
            functions.events.put(F, EventInvokeConfig(retries=1, on_failure=QUEUE, on_success=QUEUE))
            pool = Pool(start, code, account, idle_timeout_s=60)
            address = f"http://{host}:{port}"
            sent_to = Destinations(address, address, "a-key", Permissions(address, "a-key"), lambda *_: None)
            invoker = Invoker(
                functions,
                pool,
                InvocationFaults(),
                1e-6,
                sent_to,
                lambda function, line: logged.append((function.name, line)),
                Debugging(pool),
                Metrics("http://127.0.0.1:1", "a-key"),
            )
            result = await use(invoker)
            async with asyncio.timeout(10):
                while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - the task is the invoker's own
                    await asyncio.sleep(0.001)
            await pool.stop()
            account.enter("f")  # the concurrency was released
            return result

    return asyncio.run(run()), logged, records


def encoded(archive):
    """Return the request as the API receives it."""
    return base64.b64encode(archive.getvalue()).decode()


def function_of(package):
    """Return a function with that code."""
    return Function(
        name="f",
        role=ANY_ROLE,
        runtime="python3.11",
        handler="app.handler",
        description="",
        timeout_s=3,
        memory_mb=128,
        environment=None,
        package=package,
        modified=datetime.now(UTC),
        revision="1",
    )


@pytest.mark.parametrize(
    ("start", "cause"),
    [(none_starts, "did not start: embedded null byte in f"), (broken_ones_start, "no such process")],
)
def test_a_synchronous_invocation_that_breaks_has_failed(tmp_path, start, cause):
    """The answer is AWS's for a failure of the sandbox, in the log, too."""

    async def use(invoker):
        return await invoker.run(Invocation(F, b"{}", request_id="an-id"))

    finished, logged, _ = with_invoker(tmp_path / "code", start, use)

    body = json.loads(finished.answer.payload)
    assert ("Unhandled", "Sandbox.Failure") == (finished.answer.error, body["errorType"])
    assert body["errorMessage"].startswith("RequestId: an-id Error: ")
    assert cause in body["errorMessage"]
    assert [("f", body["errorMessage"])] == logged
    assert body["errorMessage"].encode() == finished.log_tail


@pytest.mark.parametrize("start", [none_starts, broken_ones_start])
def test_an_event_that_breaks_is_tried_again_and_told_of(tmp_path, start):
    """It is retried and recorded like an event whose function fails."""

    async def use(invoker):
        await invoker.queue(Invocation(F, b'{"a": 1}', request_id="an-id"))

    _, logged, records = with_invoker(tmp_path / "code", start, use)

    assert 2 == len(logged)
    (record,) = records
    assert ("RetriesExhausted", 2) == (
        record["requestContext"]["condition"],
        record["requestContext"]["approximateInvokeCount"],
    )
    assert "Sandbox.Failure" == record["responsePayload"]["errorType"]


def test_a_trace_goes_on_from_its_caller():
    """A function passes on what it was given; one that nobody called with a trace begins its own."""
    first = trace_of("")

    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0;Lineage=1:[0-9a-f]{8}:0", first)
    assert first == trace_of(first)
    assert first.replace("Sampled=0", "Sampled=1") == trace_of(first.replace("Sampled=0", "Sampled=1"))
    assert first != trace_of("")
    assert first.split(";")[0] != trace_of("Root=1-5759e988-odd;Parent=1").split(";")[0]
