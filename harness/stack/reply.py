"""The one message from the supervisor to the command that started it: the stack is ready, or it failed."""

import msgspec

from harness.stack.state import StackState

# How long the supervisor waits for its children to become ready.
READY_TIMEOUT_S = 60.0
# How often the supervisor logs which services it waits for. The command recognises these lines by their beginning,
# and shows them.
TELL_EVERY_S = 5.0
WAITING = "waiting for "


class Reply(msgspec.Struct, frozen=True):
    """The ready stack, or the three parts of the `HarnessError` that explains the failure.

    Attributes:
        state: The stack, if all of its services respond.
        what: The error: what happened.
        where: The error: where it happened.
        remedy: The error: what to do.
    """

    state: StackState | None = None
    what: str = ""
    where: str = ""
    remedy: str = ""
