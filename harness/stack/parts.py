"""The interface between the supervisor and a stack: start its parts together, maintain them, stop them."""

from dataclasses import dataclass, field
from typing import Protocol

from harness.stack.state import Endpoints
from harness.system.signals import SignalInbox


@dataclass(frozen=True)
class Started:
    """A stack whose parts all respond.

    Attributes:
        endpoints: Addresses of the services, as seen from this machine.
        functions_see: Addresses of the services, as seen by functions.
        seconds: How long each service took to become ready.
        processes: PIDs by name.
        containers: Container IDs by name.
        network: The functions' network in container mode.
    """

    endpoints: Endpoints
    functions_see: Endpoints
    seconds: dict[str, float]
    processes: dict[str, int] = field(default_factory=dict)
    containers: dict[str, str] = field(default_factory=dict)
    network: str = ""


class Parts(Protocol):
    """The parts of one stack."""

    def start(self, inbox: SignalInbox) -> Started:
        """Start all parts and wait until each responds.

        Raises:
            StopRequestedError: A signal requested a stop during the start.
            HarnessError: A part does not start or does not respond.
        """

    def processes(self) -> dict[str, int]:
        """Return the current PIDs by name; a part that was restarted has a new PID."""

    def tidy(self) -> float | None:
        """Collect and restart dead parts; called after a signal other than a stop request, such as the end of a child.

        Returns:
            The seconds after which to call this again even without a signal; None if not needed.
        """

    def stop(self) -> None:
        """Stop everything that was started and wait until it is gone."""
