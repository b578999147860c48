"""The code that a stack runs, by a digest: a stack that outlives an update of the harness cannot be used any more."""

import hashlib
from functools import cache

from harness.bundle import CODE
from harness.errors import HarnessError
from harness.stack.state import StackState

# Everything that the long-lived processes of a stack execute; functions are packaged again for every run.
_PARTS = (
    "stack",
    "emulation",
    "gateway",
    "network",
    "faults",
    "presets",
    "system",
    "guard.py",
    "iam.py",
    "settings.py",
    "errors.py",
    "folders.py",
    "bundle.py",
)


def stack_code_sha256() -> str:
    """Return the digest of the stack's code as it is on disk; it takes some milliseconds."""
    return code_sha256(_PARTS)


@cache
def code_sha256(parts: tuple[str, ...]) -> str:
    """Return the digest of some files and folders below `harness/` as they are on disk."""
    digest = hashlib.sha256()
    for part in parts:
        path = CODE / "harness" / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(CODE)}\n".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def is_outdated(state: StackState) -> bool:
    """Return whether the stack was started by other code than this."""
    return state.code_sha256 != stack_code_sha256()


def check_code(state: StackState) -> None:
    """Refuse a stack that was started by other code than this.

    Raises:
        HarnessError: It was.
    """
    if is_outdated(state):
        raise HarnessError(
            "the stack was started by another version of the harness",
            f"supervisor pid {state.pid}",
            "run `harness down`, then `harness up`",
        )
