"""A function under a debugger for as long as a command runs: one invocation after the other waits for it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harness.gateway.debug_records import DebugRequest, DebugTarget
from harness.runs.debugged_run import NOT_STARTED
from harness.runs.debugging import LIFTED_H, DebugSession, attach_text, debug_ports, debug_session, package_paths
from harness.runs.declared import declared
from harness.settings import Settings
from harness.stack.state import StackState


@contextmanager
def debugged_function(
    stack: StackState, settings: Settings, name: str, port: int | None, note: Callable[[str], object]
) -> Iterator[None]:
    """Let the invocations of a function wait for a debugger, one at a time, for the length of the block.

    Args:
        stack: The stack.
        settings: The project's settings.
        name: The function.
        port: debugpy's port; None for a free one.
        note: Called with lines for the user, in another thread.

    Raises:
        HarnessError: The function is not declared, the port is taken, or the gateway does not answer.
    """
    (free,) = debug_ports(port)
    target = DebugTarget(free)
    request = DebugRequest(name, (target,), paths=package_paths(declared(settings, name)))
    note(f"{name} waits for a debugger when it is invoked; its time limit is lifted, to {LIFTED_H} h")
    with debug_session(stack, request) as session:
        texts = {"waiting": attach_text(name, settings, target), "attached": "debugpy: a debugger is attached"}
        reader = threading.Thread(target=_report, args=(session, name, texts, note), name="debugger", daemon=True)
        reader.start()
        try:
            yield
        finally:
            session.wake()
            reader.join()


def _report(session: DebugSession, name: str, texts: dict[str, str], note: Callable[[str], object]) -> None:
    """Report how far the debugger is, until the session ends."""
    started = False
    while (change := session.changes.get()) is not None:
        started = started or change.state == "waiting"
        if change.state in texts:
            note(texts[change.state])
        elif change.state == "ended" and (change.detail or not started):
            note(f"{name} ran without a debugger: {change.detail or NOT_STARTED}")
