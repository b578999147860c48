"""The stacks of a project that are up: the shared one, and the private ones of runs and tests."""

from pathlib import Path

import msgspec

from harness.errors import HarnessError
from harness.stack import StackState
from harness.stack.folders import PLAN_FILE
from harness.stack.state import addresses_of, current_state, dead_processes, load_state, own_state_file, state_file
from harness.system.process_life import is_alive


class ServiceHealth(msgspec.Struct, frozen=True):
    """A service of a stack.

    Attributes:
        name: Its name.
        healthy: Whether its process or its container runs.
        endpoint: Its address on this machine; empty if it has none.
    """

    name: str
    healthy: bool
    endpoint: str


class StackView(msgspec.Struct, frozen=True):
    """The stack that the page shows.

    Attributes:
        up: Whether it is up.
        mode: `process` or `container`.
        private: Whether it belongs to one run or test, and ends with it.
        services: Its services.
        started_at: When it was started, seconds since the epoch.
    """

    up: bool
    mode: str
    private: bool
    services: list[ServiceHealth]
    started_at: float


def live_stacks(state_dir: Path) -> list[StackState]:
    """Return the stacks that are up, the shared one first, then the private ones, the newest first."""
    shared = _living(state_file(state_dir))
    private = [_living(own_state_file(folder)) for folder in (state_dir / "stacks").glob("s-*")]
    others = [one for one in private if one is not None and (shared is None or one.directory != shared.directory)]
    return [*([shared] if shared else []), *sorted(others, key=lambda one: one.started, reverse=True)]


def is_private(state_dir: Path, stack: StackState) -> bool:
    """Return whether a stack is not the one that `harness up` started."""
    shared = _living(state_file(state_dir))
    return shared is None or shared.directory != stack.directory


def view_of_stack(stack: StackState, *, private: bool, dead_containers: list[str]) -> StackView:
    """Return what the page shows of a stack.

    Args:
        stack: The stack.
        private: Whether it belongs to one run or test.
        dead_containers: Its containers that do not run; asking for them takes long, so the caller remembers them.
    """
    state = current_state(stack)
    dead = {*dead_processes(state), *dead_containers}
    addresses = addresses_of(state)
    names = [*state.processes, *state.containers]
    services = [ServiceHealth(name, name not in dead, addresses.get(name, "")) for name in names]
    return StackView(is_alive(state.supervisor), state.mode, private, services, started_at(state))


def started_at(state: StackState) -> float:
    """Return when a stack was started, seconds since the epoch; 0 if its folder is gone."""
    try:
        return (state.directory / PLAN_FILE).stat().st_mtime
    except OSError:
        return 0.0


def _living(path: Path) -> StackState | None:
    try:
        state = load_state(path)
    except HarnessError:
        return None
    return state if state is not None and is_alive(state.supervisor) else None
