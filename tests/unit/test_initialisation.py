"""The phases of an initialisation: its own time, and then the first invocation's."""

import asyncio

from harness.gateway.answers import failure
from harness.gateway.initialisation import initialise

BROKEN = failure("Runtime.ImportModuleError", "no module")


def initialised(*outcomes, within_s=30.0, timeout_s=30.0):
    """Return how an initialisation ends, and what it records; each time, the handler is loaded or fails as listed."""
    recorded, left = [], list(outcomes)

    async def load():
        outcome = left.pop(0)
        if isinstance(outcome, asyncio.Event):
            await outcome.wait()
            return None
        return outcome

    def record(phase, _seconds, status, error_type=""):
        recorded.append((phase, status, error_type))

    async def run():
        return await initialise(load, record, within_s=within_s, timeout_s=timeout_s)

    return asyncio.run(run()), recorded


def test_a_handler_that_is_loaded_takes_none_of_the_invocations_time():
    """Its time is the initialisation's own."""
    begun, recorded = initialised(None)

    assert ([("init", "success", "")], 0.0, None) == (recorded, begun.spent_s, begun.failure)
    assert begun.init_ms is not None


def test_a_handler_that_fails_is_loaded_once_more():
    """Its second time is the invocation's; there is no duration of an initialisation to report."""
    begun, recorded = initialised(BROKEN, None)

    assert [("init", "error", "Runtime.ImportModuleError")] == recorded
    assert (None, None) == (begun.init_ms, begun.failure)
    assert begun.spent_s > 0


def test_a_handler_that_fails_twice_fails_the_invocation():
    """Both times are recorded."""
    begun, recorded = initialised(BROKEN, BROKEN)

    assert ["init", "invoke"] == [phase for phase, *_ in recorded]
    assert BROKEN == begun.failure


def test_a_slow_handler_goes_on_loading_within_the_invocation():
    """It is recorded as a timeout of the initialisation."""
    slow = asyncio.Event()
    recorded = []

    async def load():
        await slow.wait()

    def record(phase, _seconds, status, _error_type=""):
        recorded.append((phase, status))
        slow.set()

    begun = asyncio.run(initialise(load, record, within_s=0.01, timeout_s=30.0))

    assert [("init", "timeout")] == recorded
    assert (None, False) == (begun.init_ms, begun.timed_out)


def test_a_handler_that_is_never_loaded_uses_up_the_invocations_time():
    """Both phases are recorded as timeouts."""
    begun, recorded = initialised(asyncio.Event(), within_s=0.01, timeout_s=0.02)

    assert [("init", "timeout", ""), ("invoke", "timeout", "")] == recorded
    assert (True, 0.02) == (begun.timed_out, begun.spent_s)
