"""Records of a debug session, shared by the command that opens it and the gateway that holds it."""

from typing import Annotated, Literal

import msgspec

# `debugpy`: a debugger attaches before the function's code is imported. `pdb`: a terminal, once the function raised.
Kind = Literal["debugpy", "pdb"]
# What a session reports about a target. `raised` is of pdb alone.
State = Literal["starting", "waiting", "attached", "raised", "ended"]

# Limits of time are lifted to this where a debugger may hold an invocation: more than anybody looks at a breakpoint,
# and no more than a job's limits may be.
LIFTED_S = 86_400
SESSIONS = "/_harness/debug"

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Rank = Annotated[int, msgspec.Meta(ge=0, le=999)]


class DebugTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The invocations that one debugger holds.

    Attributes:
        port: The debugger's port on this machine's loopback interface.
        rank: The rank of a run; None for the next invocation of the function, one at a time.
    """

    port: Port
    rank: Rank | None = None


class DebugRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request for a session.

    Attributes:
        function: The function to debug.
        targets: Its targets.
        run_id: The run whose time limits are lifted; empty to debug invocations by hand.
        kind: The kind of debugger.
        paths: Folders of the project, each with its place in the package (`.` is the root).
        token: What a terminal must send first; empty for debugpy, whose protocol has no such thing.
    """

    function: str
    targets: tuple[DebugTarget, ...]
    run_id: str = ""
    kind: Kind = "debugpy"
    paths: tuple[tuple[str, str], ...] = ()
    token: str = ""


class DebugChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a session's report.

    Attributes:
        session: The session's name, in the first line only.
        port: The target's port.
        rank: The target's rank.
        state: Its new state.
        detail: Why a debugger could not start.
    """

    session: str = ""
    port: int = 0
    rank: int | None = None
    state: State = "starting"
    detail: str = ""


class Debugger(msgspec.Struct, frozen=True):
    """The debugger of one environment.

    Attributes:
        kind: The kind.
        port: Its port.
        paths: See `DebugRequest`.
        token: See `DebugRequest`.
    """

    kind: Kind
    port: int
    paths: tuple[tuple[str, str], ...]
    token: str
