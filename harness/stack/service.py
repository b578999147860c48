"""What the supervisor has to know about a child: how to start it, ask whether it is ready, and stop it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Service:
    """One child of the supervisor.

    Attributes:
        name: Names its log, its entry in the state and its part in messages.
        command: The whole command line, bound to its parent.
        ready: Asks the service once whether it answers.
        environment: Variables beside the clean environment.
        stops_gently: It gets SIGTERM and a moment, as it has children of its own.
            All others hold nothing that outlives the stack, and are killed at once.
        restarts: The supervisor starts it again when it dies: it keeps nothing that its clients cannot restore.
    """

    name: str
    command: list[str]
    ready: Callable[[], bool]
    environment: dict[str, str] = field(default_factory=dict)
    stops_gently: bool = False
    restarts: bool = False


def python_module(name: str) -> list[str]:
    """Return a command that runs a module of ours; -I keeps the user's Python settings and files away from it."""
    return [sys.executable, "-I", "-m", name]
