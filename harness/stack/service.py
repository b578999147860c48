"""The description of a supervised child process: how to start it, probe it and stop it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Service:
    """One child process of the supervisor.

    Attributes:
        name: The name of its log, of its entry in the state, and in messages.
        command: The complete command line, which ends with its parent.
        ready: Probes the service once; returns whether it responds.
        environment: Variables in addition to the clean environment.
        stops_gently: Whether to stop it with SIGTERM first, because it has children of its own.
            All other services hold nothing that outlives the stack, and are killed at once.
        restarts: Whether the supervisor restarts it when it dies; it holds no state that its clients cannot restore.
    """

    name: str
    command: list[str]
    ready: Callable[[], bool]
    environment: dict[str, str] = field(default_factory=dict)
    stops_gently: bool = False
    restarts: bool = False


def python_module(name: str) -> list[str]:
    """Return a command that runs one of our modules; -I isolates it from the user's Python settings and files."""
    return [sys.executable, "-I", "-m", name]
