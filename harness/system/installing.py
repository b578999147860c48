"""Run programs that install packages, for minutes perhaps, and report their progress."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from harness.errors import HarnessError
from harness.system.process_identity import bound_to_parent

# A line of progress is logged after this time, and whenever the time has grown by this share.
_FIRST_S, _GROWTH = 5, 0.5
_LONGEST_LINE = 100
# How pip and apt-get begin the lines that name a cause.
_ERRORS = ("ERROR:", "E:")


def pip_command() -> list[str]:
    """Return the pip of the harness's own environment, which no variable of Python's can change."""
    return [sys.executable, "-I", "-m", "pip", "--disable-pip-version-check", "--no-input"]


def install(
    command: Sequence[str | Path],
    doing: str,
    *,
    remedy: str,
    log: Callable[[str], None],
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run an installer, which dies with this process.

    Args:
        command: The installer.
        doing: The work in words, for progress and errors: `installing LocalStack`.
        remedy: The remedy of a failure.
        log: Called with the seconds so far and the installer's last line.
        environment: Variables beside the user's own.

    Raises:
        HarnessError: The installer failed; the message quotes its last errors.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            bound_to_parent(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A group of its own, so that the installer's children can be ended with it.
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
        try:
            seconds = _FIRST_S
            began = time.monotonic()
            while not _ended(process, began + seconds - time.monotonic()):
                lines = [line for line in _lines_of(output) if not line.startswith("WARNING")]
                log(f"{doing}, after {seconds} s: {lines[-1][:_LONGEST_LINE] if lines else 'no output yet'}")
                seconds = round(seconds * (1 + _GROWTH))
        finally:
            # An interrupted command must not leave the installer behind.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.returncode != 0:
            raise HarnessError(f"{doing} failed", _cause(_lines_of(output), process.returncode), remedy)


def _ended(process: subprocess.Popen[bytes], within_s: float) -> bool:
    try:
        process.wait(max(0.0, within_s))
    except subprocess.TimeoutExpired:
        return False
    return True


def _lines_of(output: IO[bytes]) -> list[str]:
    # `seek` would move the position at which the installer, which shares it, writes.
    content = os.pread(output.fileno(), os.fstat(output.fileno()).st_size, 0).decode(errors="replace")
    return [line.strip() for line in content.splitlines() if line.strip()]


def _cause(lines: list[str], status: int) -> str:
    if any("No space left" in line for line in lines):
        return "there is no room left on the disk"
    errors = [line for line in lines if line.startswith(_ERRORS)] or lines[-1:]
    return "; ".join(errors[-2:])[:300] or f"it ended with status {status}"
