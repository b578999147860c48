"""The health of a stack: its services that have died, and those that were restarted."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from harness.aws.clients import Clients
from harness.errors import HarnessError
from harness.stack import StackState, dead_parts
from harness.stack.folders import is_shared, keep_logs
from harness.stack.state import current_state
from harness.system.deaths import read_deaths
from harness.system.disk import full
from harness.system.process_life import is_alive
from training.errors import TrainingError

# The supervisor restarts these at once, so that a run survives their deaths.
RESTARTED = ("memcached", "discovery")
SUPERVISOR = "supervisor"
_LAST_LINES = 2
_LONGEST_QUOTE = 300


def check_parts(stack: StackState) -> None:
    """Check that the services that a stack cannot do without are running.

    Raises:
        HarnessError: Some have died; the message names them, with the last lines of a log and the folder of all logs.
    """
    state = current_state(stack)
    if not is_alive(state.supervisor):
        raise _death(state, SUPERVISOR, f"the stack's supervisor (pid {state.pid}) died, and all services with it")
    temporary = RESTARTED if state.mode == "process" else ()
    dead = [name for name in dead_parts(state) if not name.startswith(temporary)]
    if dead:
        known = {death.name: str(death) for death in read_deaths(state.directory)}
        raise _death(state, dead[0], "; ".join(known.get(name, f"{name} died") for name in dead))


@contextmanager
def deaths_named(stack: StackState | None) -> Iterator[None]:
    """Replace an error of the block by its cause, if that is a full disk or the death of one of the stack's services.

    Args:
        stack: The stack; None on AWS.
    """
    try:
        yield
    except (HarnessError, TrainingError, BotoCoreError, ClientError, OSError):
        if stack is not None:
            if no_room := full(stack.directory):
                raise HarnessError(*no_room) from None
            check_parts(stack)
        raise


def service_answers(clients: Clients, stack: StackState | None) -> bool:
    """Return whether the Lambda service answers; a refusal is an answer.

    Raises:
        HarnessError: A part of the stack has died.
    """
    if stack is not None and stack.mode == "process":
        check_parts(stack)  # reads /proc; asking a container engine costs more, and `deaths_named` does it on an error
    try:
        clients.control.get_account_settings()
    except ClientError:
        return True
    except BotoCoreError:
        return False
    return True


def restart_events(stack: StackState, since: float) -> list[dict[str, Any]]:
    """Return a summary's entries for the services that died and were restarted.

    Args:
        stack: The stack.
        since: When the run began, seconds since the epoch.
    """
    return [
        {"event": "restarted", "part": death.name, "note": str(death), "at_s": round(death.at - since, 3)}
        for death in read_deaths(stack.directory)
        if death.restarts and death.at >= since
    ]


def _death(state: StackState, part: str, what: str) -> HarnessError:
    log = state.directory / f"{part}.log"
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    quote = " | ".join([line.strip() for line in lines if line.strip()][-_LAST_LINES:])[-_LONGEST_QUOTE:]
    try:
        logs = keep_logs(state.directory)
    except OSError:
        logs = state.directory
    again = "run `harness down`, then `harness up`" if is_shared(state) else "run the command again"
    return HarnessError(what, f"{part}.log: {quote or 'empty'}", f"{again}; all logs: {logs}")
