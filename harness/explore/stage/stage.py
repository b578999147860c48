"""The stage as its users see it: started once, then reset and played again and again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.explore.records import Play
from harness.explore.schedule import Schedule
from harness.runs.deployment import Source
from harness.settings import Settings
from harness.stack.plan import Log

ClientOf = Callable[[str], Any]
# Makes what the function needs: `prepare(client)`.
Prepare = Callable[[ClientOf], object]


class Stage:
    """The services, the function, and the proxy.

    Attributes:
        unrestorable: The services whose state a snapshot cannot bring back, as known so far; a play after which there
            is one more is followed by a fresh start of all services instead of a quick reset.
    """

    unrestorable: list[str]

    def reset(self) -> None:
        """Bring the services back to their state after `prepare`, and end all environments and events."""
        raise NotImplementedError

    def play(self, event: object, schedule: Schedule) -> Play:
        """Reset, deliver an event as a schedule says, and return when every delivery, attempt and callee has ended.

        Args:
            event: The event, as JSON can express it.
            schedule: What strikes it.

        Raises:
            HarnessError: The services do not answer, or something does not end.
        """
        raise NotImplementedError

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3's clients have no common type
        """Return a boto3 client of a service, past the proxy.

        Args:
            service: As for `boto3.client`.
        """
        raise NotImplementedError

    def services(self) -> list[str]:
        """Return the signing names of the services that functions have called so far."""
        raise NotImplementedError


@contextmanager
def stage_of(
    settings: Settings,
    function: str,
    *,
    source: Source | None = None,
    prepare: Path | Prepare | None = None,
    progress: Log = lambda _line: None,
) -> Iterator[Stage]:
    """Start a stage for this process, and stop it at the end of the block.

    Call this in the main thread: the kernel ends the stack together with the thread that started it.

    Args:
        settings: The project's settings.
        function: The function's name: that of a table in harness.toml, or any name for a `source`.
        source: A folder, a file or a Python function; None for the function that harness.toml declares.
        prepare: Makes what the function needs; a file has a function `prepare(client)`.
        progress: Called with a line when something takes long.

    Raises:
        HarnessError: The function, its code or `prepare` is invalid, or the stack cannot start.
    """
    if not function or (source, prepare, progress, settings) is None:
        raise NotImplementedError
    yield Stage()
