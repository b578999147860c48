"""A container's output on its way from the engine's thread to the log."""

import asyncio
import threading

from harness.gateway.logs.container_output import Output


def test_a_container_waits_while_there_is_no_room_and_nothing_is_lost():
    """The reading thread stops after a few chunks; all chunks arrive in order once there is room."""
    printed, taken, finished = [b"%d\n" % number for number in range(1000)], [], threading.Event()
    read = []

    def stream():
        for chunk in printed:
            read.append(chunk)
            yield chunk
        finished.set()

    async def run():
        room, output = False, Output()

        def take(chunk):
            taken.append(chunk)
            return room

        output.start(take)
        output.read(stream())
        async with asyncio.timeout(10):
            while len(read) < Output.MOST_CHUNKS:  # noqa: ASYNC110 - a thread sets no event
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.05)  # time for chunks that should not be delivered
            before = len(taken), len(read)
            room = True
            while not (finished.is_set() and len(taken) == len(printed)):
                output.resume()
                await asyncio.sleep(0)
        return before

    handed_over, unread = asyncio.run(run())

    assert handed_over == 1
    assert unread <= Output.MOST_CHUNKS + 2
    assert printed == taken


def test_the_last_words_are_handed_over_without_room():
    """RIE's END may follow everything that is queued, in the engine too; later output waits again."""
    chunk = b"x" * 16_384
    within = Output.MOST_UNREAD_BYTES // len(chunk)
    taken = []

    async def run():
        output = Output()

        def take(chunk):
            taken.append(chunk)
            return False

        output.start(take)
        output.read(iter([chunk] * (2 * within)))
        async with asyncio.timeout(10):
            while not taken:  # noqa: ASYNC110 - a thread sets no event
                await asyncio.sleep(0.001)
            output.drain()
            while len(taken) < within:  # noqa: ASYNC110 - the same
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.05)  # time for chunks that should not be delivered

    asyncio.run(run())

    assert within <= len(taken) <= within + 2
