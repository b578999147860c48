"""The feed of a gateway: listeners of a bounded size."""

import asyncio
import json

from harness.gateway import feed as module
from harness.gateway.attempts import InvocationRecord
from harness.gateway.feed import MOST_WAITING, Feed


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
        feed.change_attempt(InvocationRecord(function="f", request_id="x"))
        second = await anext(records)
        feed.change_code("f", "a-hash")
        assert {"type": "code", "function": "f", "sha256": "a-hash"} == json.loads(await anext(records))
        await records.aclose()
        return first.splitlines(), second

    first, second = asyncio.run(listen())

    assert MOST_WAITING + 1 == len(first)
    assert {"type": "lines", "function": "f", "text": "a line\n"}.items() <= json.loads(first[0]).items()
    assert {"type": "skipped", "count": 3} == json.loads(first[-1])
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
