"""Find the shared stack even if its state file was removed or damaged while the stack was up.

Three sources identify it, in this order: `.harness/state.json`, the copy in the stack's own folder, and the
supervisor's command line. A user may delete either file.
"""

import contextlib
from pathlib import Path

from harness.errors import HarnessError
from harness.stack.state import StackState, load_state, own_state_file, state_file
from harness.system import records
from harness.system.process_life import ProcessIdentity, identity_of, is_alive

SUPERVISOR_MODULE = "harness.stack.supervisor"
SHARED, PRIVATE = "shared", "private"


def find_shared(state_dir: Path) -> StackState | None:
    """Return the shared stack that is up; restore its state file if it is missing or damaged."""
    state = _readable_state(state_file(state_dir))
    if state is not None:
        return state if is_alive(state.supervisor) else None
    for directory in (state_dir / "stacks").glob("s-*"):
        kept = _readable_state(own_state_file(directory))
        if kept is not None and is_alive(kept.supervisor) and _kind_of(kept.pid, state_dir) == SHARED:
            with contextlib.suppress(OSError):
                records.save(kept, state_file(state_dir))
            return kept
    return None


def shared_supervisors(state_dir: Path) -> list[ProcessIdentity]:
    """Return the supervisors of this project's shared stacks, identified by their command lines."""
    import psutil  # noqa: PLC0415 - the services' image imports this package, and has no psutil

    found = (identity_of(pid) for pid in psutil.pids() if _kind_of(pid, state_dir) == SHARED)
    return [identity for identity in found if identity is not None]


def _readable_state(path: Path) -> StackState | None:
    try:
        return load_state(path)
    except HarnessError:
        return None


def _kind_of(pid: int, state_dir: Path) -> str:
    """Return the kind of stack that the process supervises for this project; empty if it supervises none."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return ""
    if len(words) < 3 or words[-3] != SUPERVISOR_MODULE or Path(words[-2]).parent != state_dir / "stacks":
        return ""
    return words[-1]
