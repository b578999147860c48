"""How an environment handles RIE's answers."""

import asyncio
import json

import pytest

from harness.gateway.connection import HttpConnection
from harness.gateway.environment import Environment
from harness.gateway.logs.config import Logging
from harness.gateway.logs.container_output import Output
from harness.gateway.names import LATEST
from harness.gateway.sandbox import exit_reason_in


class Function:
    """The properties of a function that an environment uses."""

    name, version, timeout_s, memory_mb, debugger, image = "f", LATEST, 5, 128, None, None
    runtime, logging = "python3.11", Logging()
    initialization = "on-demand"


class Sandbox:
    """A sandbox whose memory cannot be measured."""

    alive = True
    shares_output, managed = False, False

    def headers(self, arn, trace, deadline):  # noqa: ARG002 - as a sandbox has it
        """Return no headers."""
        return {}

    def drain_output(self):
        """Do nothing, because nothing was printed."""

    async def max_memory_mb(self):
        """Return 0, because the memory is unknown."""
        return 0

    def exit_reason(self):
        """Return nothing, because RIE reports nothing."""
        return ""

    def freeze(self):
        """Do nothing, because there is no process."""

    def thaw(self):
        """Do nothing, because there is no process."""


class Log(list[str]):
    """A log stream that is never full."""

    full = False

    def begin(self, request_id):
        """Do nothing, because the lines have one reader."""

    def write(self, text, *, urgent=False):  # noqa: ARG002 - as a stream has it
        """Keep the lines."""
        self.extend(text.splitlines())


def answered_with(response):
    """Return the environment's answer and its log if RIE answers with these bytes."""
    log = Log()

    async def answer(reader, writer):
        await reader.readuntil(b"null")
        writer.write(response)
        await writer.drain()
        writer.close()

    async def invoke():
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            environment = Environment(Function(), Sandbox(), HttpConnection(f"{host}:{port}"), log, "stream")
            return await environment.invoke("an-id", b"null", {})

    return asyncio.run(invoke()), log


@pytest.mark.parametrize(
    ("response", "told"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "RIE answered with an error and no body"),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\nbusy", "RIE answered 400: 'busy'"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n17", "RIE answered 500: '17'"),
        (b"", "the execution environment is gone"),
    ],
)
def test_an_answer_that_says_nothing_is_a_failed_invocation(response, told):
    """It is neither a success nor an error of the gateway, which a caller would take for one of Lambda's."""
    answer, log = answered_with(response)

    body = json.loads(answer.payload)
    assert ("Unhandled", False) == (answer.error, answer.usable)
    assert "Runtime.ExitError" == body["errorType"]
    assert told in body["errorMessage"]
    assert log[-1].endswith("\tStatus: error\tError Type: Runtime.ExitError")


def test_what_rie_tells_of_the_runtime_is_passed_on():
    """The error's type and message are AWS's."""
    told = b'{"errorType":"Runtime.ExitError","errorMessage":"RequestId: an-id Error: Runtime exited"}'

    answer, _ = answered_with(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: %d\r\n\r\n%s" % (len(told), told))

    assert ("Unhandled", told, False) == (answer.error, answer.payload, answer.usable)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("Invoke failed error=Runtime exited with error: exit status 3 InvokeID=an-id", "exit status 3"),
        ("Invoke failed InvokeID=an-id error=Runtime exited with error: exit status 3", "exit status 3"),
        (
            "Init failed error=Runtime exited with error: signal: segmentation fault InvokeID=",
            "signal: segmentation fault",
        ),
        ("Init failed InvokeID= error=Runtime exited with error: signal: killed", "signal: killed"),
    ],
)
def test_how_the_runtime_ended_is_read_in_ries_errors(words, reason):
    """The fields of a line come in any order; the last invocation counts."""
    errors = f"""[ERROR] (rapid) Init failed error=Runtime exited with error: exit status 9 InvokeID=
[ERROR] (rapid) {words}
[ERROR] (rapid) Invoke DONE failed: Sandbox.Failure
"""

    assert f"Runtime exited with error: {reason}" == exit_reason_in(errors)
    assert "" == exit_reason_in(errors.replace("Runtime exited", "something else"))


def test_an_exit_without_an_error_has_no_status():
    """`sys.exit(0)` is reported in AWS's own words."""
    errors = "[ERROR] (rapid) Invoke failed error=Runtime exited without providing a reason InvokeID=an-id\n"

    assert "Runtime exited without providing a reason" == exit_reason_in(errors)


class ContainerLike(Sandbox):
    """A sandbox that shares its output stream with RIE, as a container does."""

    shares_output = True

    def __init__(self):
        self.lines = Output()

    def read_output(self, take):
        """Start to deliver output as a container does."""
        self.lines.start(take)

    def resume_output(self):
        """Resume as a container does."""
        self.lines.resume()

    def drain_output(self):
        """Drain as a container does."""
        self.lines.drain()


class FullLog(Log):
    """A log stream that is always full."""

    full = True

    def when_room(self, call):
        """Do nothing, because there will be no room."""


def test_the_last_words_come_before_report_even_when_the_log_is_full():
    """In a container, RIE's END follows all of the function's output."""
    log, words = FullLog(), [f"line {number}" for number in range(100)]

    async def answer(reader, writer):
        await reader.readuntil(b"null")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull")
        await writer.drain()
        writer.close()

    async def invoke():
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            sandbox = ContainerLike()
            environment = Environment(Function(), sandbox, HttpConnection(f"{host}:{port}"), log, "stream")
            environment.read_output()
            report = "\tDuration: 1.40 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 128 MB\t"
            printed = [*words, "END RequestId: an-id", f"REPORT RequestId: an-id{report}"]
            sandbox.lines.read(line.encode() + b"\n" for line in printed)
            await environment.invoke("an-id", b"null", {})

    asyncio.run(invoke())

    assert words == log[2:-2]
    assert ["INIT_START", "START", "END", "REPORT"] == [log[place].split()[0] for place in (0, 1, -2, -1)]
