"""A stack of processes: reserved ports, and one child of the supervisor for each service."""

import logging

from harness.stack.children import Child, PortLostError, restart_the_dead, start_child, stop_children, wait_until_ready
from harness.stack.parts import Started
from harness.stack.plan import Programs, StackPlan, endpoints, services
from harness.stack.reply import READY_TIMEOUT_S
from harness.system.ports import ReservedPorts
from harness.system.signals import SignalInbox

logger = logging.getLogger(__name__)

# A port that nobody held can still be lost to a process that asks for just this number.
PORT_ATTEMPTS = 3


class ProcessStack:
    """See `Parts`."""

    def __init__(self, plan: StackPlan, programs: Programs) -> None:
        self._plan, self._programs = plan, programs
        self._children: list[Child] = []
        self._ports: ReservedPorts | None = None

    def start(self, inbox: SignalInbox) -> Started:
        """Starts all children and waits until each answers; on other ports when one was lost."""
        attempt = 1
        while True:
            self._ports = ports = ReservedPorts(self._plan.port_names, self._plan.fixed_ports)
            try:
                # Appended one by one: those that run are stopped, also when a later one cannot be started.
                for service in services(self._plan, self._programs, ports.numbers):
                    self._children.append(start_child(service, self._plan.directory, self._plan.root))
                seconds = wait_until_ready(self._children, inbox, READY_TIMEOUT_S)
            except PortLostError as error:
                if attempt == PORT_ATTEMPTS:
                    raise
                logger.warning("%s; trying other ports", error)
            else:
                where = endpoints(self._plan, ports.numbers)
                return Started(where, where, seconds, processes=self.processes())
            self.stop()
            attempt += 1

    def processes(self) -> dict[str, int]:
        """Return the pid of each child by its name."""
        return {child.service.name: child.process.pid for child in self._children}

    def tidy(self) -> float | None:
        """Collect children that ended, and start again those that keep nothing."""
        return restart_the_dead(self._children, self._plan.directory, self._plan.root)

    def stop(self) -> None:
        """Stops all children and gives the ports back."""
        stop_children(self._children)
        self._children.clear()
        if self._ports is not None:
            self._ports.close()
