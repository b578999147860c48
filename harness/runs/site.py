"""Where a run takes place: a stack on this machine, or what was deployed."""

from collections.abc import Callable
from dataclasses import dataclass

from harness.aws.clients import Clients
from harness.runs.follow import HERE, Pace
from harness.runs.functions import make_declared
from harness.settings import Settings
from harness.stack.plan import Log
from harness.stack.state import StackState

# Makes sure that a function of that name is there to be invoked, and tells its image's digest.
MakeReady = Callable[[str, Settings, Log], str]


@dataclass(frozen=True)
class Site:
    """What a run has to know of the place.

    Attributes:
        mode: What the summary calls it: `process`, `container`, or a deployment's name.
        clients: Clients for its services.
        discovery: `host:port` of Memcached's configuration endpoint, as functions see it.
        make_ready: Called for each function that takes part; its digest is empty for a deployment package.
        stack: The stack; None on AWS, whose Memcached cannot be reached from outside and which meets no faults.
        bucket: The one bucket that functions may use; empty where each data set has its own.
        pace: How quickly its services tell what happens.
    """

    mode: str
    clients: Clients
    discovery: str
    make_ready: MakeReady
    stack: StackState | None = None
    bucket: str = ""
    pace: Pace = HERE


def site_of(stack: StackState, clients: Clients) -> Site:
    """A stack on this machine, where functions are created as the working tree has them."""

    def make_ready(name: str, settings: Settings, log: Log) -> str:
        return make_declared(clients.functions, name, settings, stack.mode, log=log).image

    return Site(stack.mode, clients, stack.functions_see.discovery, make_ready, stack=stack)
