"""What the supervisor tells the command that started it, once: the stack is ready, or has failed."""

import msgspec

from harness.stack.state import StackState

# How long the supervisor waits for its children.
READY_TIMEOUT_S = 60.0
# While it waits, it says in its log for whom, this often; the lines begin so, and the command shows them.
TELL_EVERY_S = 5.0
WAITING = "waiting for "


class Reply(msgspec.Struct, frozen=True):
    """The stack, or the three parts of the `HarnessError` that says why there is none.

    Attributes:
        state: The stack, all of whose services answer.
        what: What went wrong.
        where: Where.
        remedy: What to do.
    """

    state: StackState | None = None
    what: str = ""
    where: str = ""
    remedy: str = ""
