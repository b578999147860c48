"""The target of a run: a stack on this machine, or a deployment."""

from collections.abc import Callable
from dataclasses import dataclass

from harness.aws.clients import Clients
from harness.presets.zones import CACHE_ZONE
from harness.runs.functions import make_declared
from harness.runs.log_tail import LOCAL_POLLING, PollingProfile
from harness.settings import Settings
from harness.stack.plan import Log
from harness.stack.state import StackState

# Makes sure that the function of that name can be invoked, and returns its image's digest.
MakeReady = Callable[[str, Settings, Log], str]


@dataclass(frozen=True)
class RunTarget:
    """What a run needs to know about the place where it runs.

    Attributes:
        mode: What the summary calls it: `process`, `container`, or a deployment's kind.
        clients: Clients for its services.
        discovery: `host:port` of Memcached's configuration endpoint, as functions see it.
        make_ready: Called for each function that takes part; its digest is empty for a deployment package.
        stack: The stack; None on AWS, where Memcached cannot be reached from outside and no faults are injected.
        bucket: The only bucket that functions may use; empty where each data set has its own.
        polling: How its services are polled.
        cache_zone: The ID of the cache's zone; empty if it is not known.
    """

    mode: str
    clients: Clients
    discovery: str
    make_ready: MakeReady
    stack: StackState | None = None
    bucket: str = ""
    polling: PollingProfile = LOCAL_POLLING
    cache_zone: str = CACHE_ZONE


def stack_target(stack: StackState, clients: Clients) -> RunTarget:
    """Return a stack on this machine as a target; functions are created from the working tree."""

    def make_ready(name: str, settings: Settings, log: Log) -> str:
        return make_declared(clients.management, name, settings, stack.mode, log=log).image

    return RunTarget(stack.mode, clients, stack.functions_see.discovery, make_ready, stack=stack)
