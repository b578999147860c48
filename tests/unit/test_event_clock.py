"""The clock of events: stopped, set forward, started again."""

import asyncio

from harness.gateway.events.clock import EventClock

HOUR = 3600.0


def test_a_stopped_clock_wakes_sleepers_in_the_order_of_their_times():
    """Nobody wakes before the clock is set forward, and only whose time has come."""

    async def scenario():
        clock, woken = EventClock(), []
        clock.stop()

        async def sleep(hours):
            await clock.sleep_until(hours * HOUR)
            woken.append(hours)

        tasks = [asyncio.create_task(sleep(hours)) for hours in (2, 1, 5)]
        await asyncio.sleep(0)
        assert clock.now() + HOUR == clock.next_due()
        clock.set_forward(clock.now() + 3 * HOUR)
        assert clock.waking
        await asyncio.gather(*tasks[:2])
        assert [1, 2] == woken
        assert not clock.waking
        tasks[2].cancel()
        await asyncio.gather(tasks[2], return_exceptions=True)
        return clock.next_due()

    assert asyncio.run(scenario()) is None


def test_a_wait_that_may_end_in_real_time_does():
    """Throttled events are tried again on a stopped clock, too."""

    async def scenario():
        clock = EventClock()
        clock.stop()
        before = clock.now()
        await asyncio.wait_for(clock.sleep_until(0.001, at_most_real=True), 30)
        return clock.now() - before

    assert 0.0 == asyncio.run(scenario())


def test_a_clock_that_is_started_again_goes_on_from_its_time():
    """A wait that a stop has interrupted ends in real time."""

    async def scenario():
        clock = EventClock()
        clock.stop()
        task = asyncio.create_task(clock.sleep_until(HOUR))
        await asyncio.sleep(0)
        stopped = clock.now()
        clock.start()
        assert stopped <= clock.now() < stopped + HOUR
        clock.set_forward(clock.now() + HOUR - 0.001)
        await asyncio.wait_for(task, 30)

    asyncio.run(scenario())
