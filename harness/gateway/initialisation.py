"""The initialisation of a function: its module is loaded before its first invocation begins.

    phase init      up to 10 s; its end is the end of a cold start, reported as `Init Duration`
    phase invoke    if the first phase failed or took too long: once more, within the first invocation

After 10 s AWS starts the runtime again; here it continues, because cores are shared: 64 environments that start at
once on two of them would begin again and again.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-ib
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Protocol

from harness.gateway.answers import LATE, Answer
from harness.gateway.logs.report_lines import Phase, Status

INIT_WITHIN_S = 10.0
# Ahead of the first invocation: this, or the function's time limit if that is longer.
AHEAD_WITHIN_S = 130.0


class InitialisationError(Exception):
    """A handler could not be loaded ahead of the first invocation."""


@dataclass(frozen=True, slots=True)
class Initialised:
    """How an initialisation has ended.

    Attributes:
        init_ms: How long the phase `init` took; None if it did not succeed.
        spent_s: How much of the first invocation's time the phase `invoke` took.
        failure: Why the handler could not be loaded; None if it was, or if time was up.
        timed_out: Whether the invocation's time was up before the handler was loaded.
    """

    init_ms: float | None = None
    spent_s: float = 0.0
    failure: Answer | None = None
    timed_out: bool = False


class PhaseRecorder(Protocol):
    """Logs the end of a phase."""

    def __call__(self, phase: Phase, seconds: float, status: Status, error_type: str = "") -> None:
        """Log it."""


async def initialise(
    load: Callable[[], Coroutine[None, None, Answer | None]],
    record: PhaseRecorder,
    *,
    within_s: float,
    timeout_s: float,
) -> Initialised:
    """Load a function's handler.

    Args:
        load: Starts the runtime and waits until it has loaded the handler; returns why it could not.
        record: Logs the end of a phase.
        within_s: How long the phase `init` may take.
        timeout_s: How long the phase `invoke` may take.
    """
    begun = time.perf_counter()
    loading = asyncio.ensure_future(load())
    try:
        await asyncio.wait({loading}, timeout=within_s)
        seconds = time.perf_counter() - begun
        if not loading.done():
            record("init", within_s, "timeout")
        elif (failure := loading.result()) is None:
            record("init", seconds, "success")
            return Initialised(init_ms=1e3 * seconds)
        else:
            record("init", seconds, "error", failure.error_type)
            loading = asyncio.ensure_future(load())
        begun = time.perf_counter()
        await asyncio.wait({loading}, timeout=timeout_s)
        seconds = time.perf_counter() - begun
        if not loading.done():
            record("invoke", timeout_s, "timeout")
            return Initialised(spent_s=timeout_s, timed_out=True)
        if (failure := loading.result()) is not None:
            record("invoke", seconds, "error", failure.error_type)
        return Initialised(spent_s=seconds, failure=failure)
    finally:
        loading.cancel()


async def load_ahead(load: Callable[[], Coroutine[None, None, Answer | None]], record: PhaseRecorder) -> None:
    """Load a function's handler ahead of the first invocation, as provisioned concurrency does.

    Args:
        load: Starts the runtime and waits until it has loaded the handler; returns why it could not.
        record: Logs the end of the phase.

    Raises:
        InitialisationError: The handler could not be loaded.
    """
    begun = time.perf_counter()
    failed = await load()
    seconds = time.perf_counter() - begun
    if failed is None:
        record("init", seconds, "success")
        return
    status: Status = "timeout" if failed is LATE else "error"
    record("init", seconds, status, "" if failed is LATE else failed.error_type)
    raise InitialisationError(status if failed is LATE else failed.error_type)
