"""Deaths of a stack's parts: which part ended, how, and whether it is restarted.

The supervisor and the fault proxy append to one file in the stack's folder; runs and commands read it.
"""

import logging
import signal
import time
from pathlib import Path

import msgspec

logger = logging.getLogger(__name__)

DEATHS_FILE = "deaths.jsonl"
# The first restart is immediate; the delay doubles each time the part dies again soon, up to the longest one.
FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 0.25, 10.0
# A part that has run this long counts as stable, and the delay starts over.
STEADY_S = 30.0


class Death(msgspec.Struct, frozen=True):
    """The end of one part.

    Attributes:
        name: The part.
        status: Its exit status, or minus the number of the signal that killed it.
        at: When it ended, seconds since the epoch.
        restarts: Whether it is restarted.
    """

    name: str
    status: int
    at: float
    restarts: bool = False

    def __str__(self) -> str:
        return f"{self.name} {describe_status(self.status)}"


class BackOff:
    """The delay before each restart of one part."""

    def __init__(self) -> None:
        self._next_s = 0.0
        self._started = time.monotonic()

    def started(self) -> None:
        """Record that the part has just been started."""
        self._started = time.monotonic()

    def next_delay(self) -> float:
        """Return the seconds to wait before the part, which has just died, is restarted."""
        if time.monotonic() - self._started >= STEADY_S:
            self._next_s = 0.0
        delay_s = self._next_s
        self._next_s = min(max(FIRST_BACK_OFF_S, 2 * delay_s), LONGEST_BACK_OFF_S)
        return delay_s


def describe_status(status: int) -> str:
    """Return how a process ended, as a verb phrase."""
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def note_death(directory: Path, death: Death) -> None:
    """Append a death to the stack's file; only log an error, so that a full disk does not prevent the restart."""
    try:
        with (directory / DEATHS_FILE).open("ab") as file:
            file.write(msgspec.json.encode(death) + b"\n")
    except OSError as error:
        logger.warning("%s; this could not be recorded in %s: %s", death, DEATHS_FILE, error)


def read_deaths(directory: Path) -> list[Death]:
    """Return all deaths of a stack's parts, oldest first."""
    try:
        lines = (directory / DEATHS_FILE).read_bytes().splitlines()
    except OSError:
        return []
    deaths = []
    for line in lines:
        try:
            deaths.append(msgspec.json.decode(line, type=Death))
        except msgspec.DecodeError:
            continue  # the writer was killed in the middle of the line
    return deaths
