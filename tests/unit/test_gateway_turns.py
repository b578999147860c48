"""Turns of throttled events."""

import asyncio

from harness.gateway.events.turns import Turns


def test_the_turn_goes_to_whoever_has_waited_longest_and_still_waits():
    """An event whose delay has ended no longer waits; its turn goes to the next one."""

    async def run():
        turns = Turns()
        first, second, third = (turns.join("f") for _ in range(3))
        first.set_result(None)
        turns.pass_on("f")
        return second.done(), third.done()

    assert (True, False) == asyncio.run(run())


def test_room_of_one_reservation_is_none_of_another():
    """Only events that wait for the concurrency that was left get it."""

    async def run():
        turns = Turns()
        reserved, shared = turns.join("f"), turns.join("")
        turns.pass_on("g")
        nobody = reserved.done(), shared.done()
        turns.pass_on("")
        return nobody, (reserved.done(), shared.done())

    assert ((False, False), (False, True)) == asyncio.run(run())
