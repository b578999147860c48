"""A stack of processes: reserved ports, and one child of the supervisor per service."""

import logging

from harness.stack.children import Child, PortLostError, restart_the_dead, start_child, stop_children, wait_until_ready
from harness.stack.parts import Started
from harness.stack.plan import Programs, StackPlan, endpoints, services
from harness.stack.reply import READY_TIMEOUT_S
from harness.system.ports import ReservedPorts
from harness.system.signals import SignalInbox

logger = logging.getLogger(__name__)

# Another process can still take a port between our reservation and the service's bind.
PORT_ATTEMPTS = 3


class ProcessStack:
    """Implement `Parts` with processes."""

    def __init__(self, plan: StackPlan, programs: Programs) -> None:
        self._plan, self._programs = plan, programs
        self._children: list[Child] = []
        self._ports: ReservedPorts | None = None

    def start(self, inbox: SignalInbox) -> Started:
        """Start all children and wait until each responds; retry on other ports if a port was lost."""
        attempt = 1
        while True:
            self._ports = ports = ReservedPorts(self._plan.port_names, self._plan.fixed_ports)
            try:
                # Append one at a time, so that `stop` finds the running ones even if a later start fails.
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
        """Return the PID of each child, by its name."""
        return {child.service.name: child.process.pid for child in self._children}

    def tidy(self) -> float | None:
        """Reap children that ended, and restart the stateless ones."""
        return restart_the_dead(self._children, self._plan.directory, self._plan.root)

    def stop(self) -> None:
        """Stop all children and release the ports."""
        stop_children(self._children)
        self._children.clear()
        if self._ports is not None:
            self._ports.close()
