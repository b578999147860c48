"""How lines reach the log service, and how many are queued."""

import asyncio
import json

from harness.gateway.logs import service as logs
from harness.gateway.logs.service import (
    ALL_STREAMS_BYTES,
    BATCH_BYTES,
    BATCH_LINES,
    FULL_LINES,
    LEAST_FULL_BYTES,
    LogService,
)
from harness.gateway.runtime.bootstrap import LINE_WITHIN

MUTE = object()


def with_service(use, refuse=()):
    """Return a coroutine's result with a service, and the emulation's calls, refused (or MUTE) as listed."""
    calls, refusals = [], list(refuse)

    async def answer(reader, writer):
        try:
            await answer_all(reader, writer)
        except asyncio.IncompleteReadError:
            writer.close()

    async def answer_all(reader, writer):
        while head := (await reader.readuntil(b"\r\n\r\n")).decode().lower():
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            operation = head.split("logs_20140328.")[1].split("\r\n")[0]
            calls.append((operation, json.loads(await reader.readexactly(length))))
            refusal = refusals.pop(0) if refusals else False
            if refusal is MUTE:
                continue
            status = "400 Bad Request" if refusal else "200 OK"
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}".encode())

    async def run():
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            service = LogService(f"http://{host}:{port}", "a-key")
            try:
                return await use(service, calls)
            finally:
                await service.stop()
                # The emulation notices the end of the connection.
                await until(lambda: len(asyncio.all_tasks()) == 1)

    return asyncio.run(run()), calls


async def until(condition):
    """Wait until the condition holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - it is no task's of ours
            await asyncio.sleep(0.001)


def messages(calls, stream):
    """Return the lines of a stream, in order."""
    return [
        event["message"].removesuffix("\n")
        for operation, body in calls
        if operation == "putlogevents" and body["logStreamName"] == stream
        for event in body["logEvents"]
    ]


def test_lines_of_all_streams_arrive_in_order_and_in_batches_that_the_service_takes():
    """A flooded stream delays no other by more than one batch."""

    async def use(service, calls):
        flooded, quiet = service.stream("/aws/lambda/f", "flooded"), service.stream("/aws/lambda/g", "quiet")
        flooded.write("".join(f"{number}\n" for number in range(3 * BATCH_LINES)))
        quiet.write(f"first{LINE_WITHIN}second\n\nREPORT\n", urgent=True)
        service.start()
        await until(lambda: [len(messages(calls, name)) for name in ("flooded", "quiet")] == [3 * BATCH_LINES, 2])

    _, calls = with_service(use)

    assert [str(number) for number in range(3 * BATCH_LINES)] == messages(calls, "flooded")
    assert ["first\nsecond", "REPORT"] == messages(calls, "quiet")
    puts = [(body["logStreamName"], len(body["logEvents"])) for name, body in calls if name == "putlogevents"]
    assert [("flooded", BATCH_LINES), ("quiet", 2)] == puts[:2]


def test_a_stream_with_two_batches_of_lines_is_full_and_says_when_it_is_not():
    """A writer that is faster than the service waits."""

    async def use(service, _calls):
        stream, called = service.stream("/aws/lambda/f", "s"), []
        stream.write("x\n" * (FULL_LINES - 1))
        before = stream.full
        stream.write("x\n")
        stream.when_room(lambda: called.append(True))
        full = stream.full
        service.start()
        await until(lambda: called)
        return before, full, stream.full

    assert (False, True, False) == with_service(use)[0]


def test_many_streams_share_what_is_kept():
    """One that is full early leaves a little room for the others."""

    async def use(service, _calls):
        streams = [service.stream("/aws/lambda/f", str(number)) for number in range(9)]
        for stream in streams[:-1]:
            stream.write("x" * (BATCH_BYTES - 20_000) + "\n")
        streams[-1].write("x" * (LEAST_FULL_BYTES - 100) + "\n")
        before = streams[0].full, streams[-1].full
        streams[-1].write("x" * 150_000 + "\n")
        return before, service.crowded, [stream.full for stream in streams]

    assert 8 * BATCH_BYTES == ALL_STREAMS_BYTES
    assert ((False, False), True, [True] * 9) == with_service(use)[0]


def test_lines_are_sent_again_when_somebody_has_deleted_the_group():
    """The group is created again, and nothing is lost."""

    async def use(service, calls):
        stream = service.stream("/aws/lambda/f", "s")
        stream.write("one\n", urgent=True)
        service.start()
        await until(lambda: messages(calls, "s") == ["one"])
        stream.write("two\n", urgent=True)
        await until(lambda: messages(calls, "s") == ["one", "two", "two"])

    _, calls = with_service(use, refuse=[False, False, False, True])

    assert ["createloggroup", "createlogstream", "putlogevents"] * 2 == [
        name for number, (name, _) in enumerate(calls) if number != 3
    ]
    assert ["one", "two", "two"] == messages(calls, "s")


def test_a_call_that_was_not_answered_in_time_is_not_sent_again(monkeypatch):
    """The service may have executed it, and a second wait would delay the lines of others."""
    monkeypatch.setattr(logs, "CALL_WITHIN_S", 0.1)

    async def use(service, calls):
        service.stream("/aws/lambda/f", "s").write("one\n", urgent=True)
        service.start()
        await until(lambda: calls)
        service.stream("/aws/lambda/g", "other").write("two\n", urgent=True)
        await until(lambda: messages(calls, "other"))

    _, calls = with_service(use, refuse=[MUTE])

    assert ["/aws/lambda/f", "/aws/lambda/g"] == [
        body["logGroupName"] for name, body in calls if name == "createloggroup"
    ]
