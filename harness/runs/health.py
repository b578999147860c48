"""What a run notices of its stack's parts: those that died, and those that were started again."""

from typing import Any

from harness.deaths import read_deaths
from harness.stack.state import StackState


def restart_events(stack: StackState, since: float) -> list[dict[str, Any]]:
    """Return a summary's entries for the parts that died and were started again.

    Args:
        stack: The stack.
        since: When the run began, seconds since the epoch.
    """
    return [
        {"event": "restarted", "part": death.name, "note": str(death), "at_s": round(death.at - since, 3)}
        for death in read_deaths(stack.directory)
        if death.restarts and death.at >= since
    ]
