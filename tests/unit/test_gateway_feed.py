"""The feed of a gateway: last invocations and listeners, both of a bounded size."""

import asyncio
import json

from harness.gateway import feed as module
from harness.gateway.feed import KEPT, KEPT_BYTES, MOST_WAITING, Feed, FeedInvocation


def ended(request_id="x", payload="{}"):
    """One invocation."""
    return FeedInvocation(
        function="f",
        version="$LATEST",
        request_id=request_id,
        error="",
        duration_ms=1.5,
        billed_ms=2,
        memory_mb=128,
        used_mb=40,
        init_ms=None,
        ended_at=0.0,
        payload=payload,
    )


def test_the_last_invocations_are_kept_up_to_a_number_and_a_size():
    """The newest one always, whatever its size; a retried event's attempts are counted."""
    feed = Feed()
    for request_id in ("x", "y", "x"):
        feed.end_invocation(ended(request_id))
    first = [(one.number, one.request_id, one.attempt) for one in feed.last_invocations()]
    for number in range(KEPT):
        feed.end_invocation(ended(str(number)))
    many = feed.last_invocations()
    feed.end_invocation(ended("large", "1" * (KEPT_BYTES + 1)))

    assert [(1, "x", 1), (2, "y", 1), (3, "x", 2)] == first
    assert [str(number) for number in range(KEPT)] == [one.request_id for one in many]
    assert ["large"] == [one.request_id for one in feed.last_invocations()]


def test_a_slow_listener_is_told_how_much_it_missed():
    """The feed neither waits for it nor grows without end; without listeners nothing is encoded."""

    async def listen():
        feed = Feed()
        feed.write_lines("f", "nobody hears this\n")
        records = feed.listen()
        assert b"\n" == await anext(records)
        for _ in range(MOST_WAITING + 3):
            feed.write_lines("f", "a line\n")
        first = await anext(records)
        feed.end_invocation(ended(payload='"secret"'))
        second = await anext(records)
        feed.change_code("f", "a-hash")
        assert {"type": "code", "function": "f", "sha256": "a-hash"} == json.loads(await anext(records))
        await records.aclose()
        return first.splitlines(), second

    first, second = asyncio.run(listen())

    assert MOST_WAITING + 1 == len(first)
    assert {"type": "lines", "function": "f", "text": "a line\n"} == json.loads(first[0])
    assert {"type": "skipped", "count": 3} == json.loads(first[-1])
    assert b"secret" not in second
    assert "invocation" == json.loads(second)["type"]


def test_a_listener_holds_a_bounded_number_of_bytes(monkeypatch):
    """Long lines count more than short ones."""
    monkeypatch.setattr(module, "MOST_WAITING_BYTES", 1000)

    async def listen():
        feed = Feed()
        records = feed.listen()
        await anext(records)
        for _ in range(5):
            feed.write_lines("f", "x" * 300)
        return (await anext(records)).splitlines()

    assert 3 == len(asyncio.run(listen()))
