"""What the supervisor has to know of a stack: how its parts are started, looked after and stopped together."""

from dataclasses import dataclass, field
from typing import Protocol

from harness.stack.state import Endpoints
from harness.system.signals import SignalInbox


@dataclass(frozen=True)
class Started:
    """A stack whose parts all answer.

    Attributes:
        endpoints: Where they listen, as this machine sees them.
        functions_see: The same as functions see them.
        seconds: How long each took.
        processes: Pids by name.
        containers: IDs by name.
        network: The functions' network, when they are containers.
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
        """Starts them all and waits until each answers.

        Raises:
            StopRequestedError: A signal asked for the end meanwhile.
            HarnessError: One does not start or does not answer.
        """

    def processes(self) -> dict[str, int]:
        """Return the pids by name as they are now: a part that was started again has another one."""

    def tidy(self) -> float | None:
        """Look after the parts; called after a signal that did not ask for the end, such as the end of a child.

        Returns:
            After how many seconds to call again, signal or not; None for never.
        """

    def stop(self) -> None:
        """Stops whatever was started, and waits until nothing of it is left."""
