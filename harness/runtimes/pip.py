"""Run pip, also for another interpreter, and give its reason for a failure in one line."""

import os
import pwd
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from harness.errors import HarnessError

Log = Callable[[str], None]

# How often a long installation reports what it is doing.
REPORT_EVERY_S = 5.0
_STEP = re.compile(r"^\s*(Collecting|Downloading|Building|Installing|Processing)\b")
_LONGEST_LINE = 160
_ERROR = re.compile(r"^\s*ERROR: (.+)")
# A conflict is best told by the lines that name both sides of it.
_SIDES = re.compile(r"^\s*(The user requested .+|.+ depends on .+)")
_VERSIONS = re.compile(r"\(from versions: (.*)\)")
_SHOWN = 4
_SECOND = re.compile(r"No matching distribution found|ResolutionImpossible|Cannot install|Failed to build")


class PipFailed(HarnessError):
    """pip could not do it; `what` is its reason."""


def pip(python: Path | None, arguments: Sequence[str], *, log: Log = lambda _line: None) -> str:
    """Run pip and return its standard output.

    Args:
        python: The interpreter to run it with, which need not have pip; None for the harness's own.
        arguments: pip's command and its options.
        log: Called every few seconds with what pip is doing.

    Raises:
        PipFailed: pip could not do it.
    """
    other = ["--python", str(python)] if python else []
    own = [sys.executable, "-I", "-m", "pip"]
    command = [*own, *other, "--disable-pip-version-check", "--no-input", *arguments]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        # One stream: pip is never told to print what somebody parses beside its errors.
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=_variables(),
    ) as process:
        assert process.stdout is not None  # noqa: S101 - it was started with a pipe
        lines, began = [], time.monotonic()
        next_report = began + REPORT_EVERY_S
        try:
            for line in process.stdout:
                lines.append(line)
                if _STEP.match(line) and time.monotonic() >= next_report:
                    log(line.strip()[:_LONGEST_LINE])
                    # Ever more rarely, so that the lines of a long installation stay few.
                    next_report = time.monotonic() + max(REPORT_EVERY_S, (time.monotonic() - began) / 2)
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise PipFailed(reason_in(lines) or f"pip ended with status {process.returncode} and printed nothing")
    return "".join(lines)


def _variables() -> dict[str, str]:
    """Return pip's environment variables; it does not start for a user without a home, such as a container's."""
    home = os.environ.get("HOME", "")
    if not home:
        with suppress(KeyError):
            home = pwd.getpwuid(os.getuid()).pw_dir
    if home:
        return {**os.environ, "HOME": home}
    return {**os.environ, "HOME": tempfile.gettempdir(), "PIP_NO_CACHE_DIR": "1"}


def reason_in(lines: Sequence[str]) -> str:
    """Return pip's reason for a failure, from what it printed; empty if it printed nothing."""
    if sides := [found[1].strip() for line in lines if (found := _SIDES.match(line))]:
        return " / ".join(dict.fromkeys(sides))
    errors = [found[1].strip() for line in lines if (found := _ERROR.match(line))]
    first = [error for error in errors if not _SECOND.match(error)]
    last = [line.strip() for line in lines if line.strip()][-1:]
    return _VERSIONS.sub(_newest, (first or errors or last or [""])[0])


def _newest(versions: re.Match[str]) -> str:
    """Return the newest ones of the versions that there are, which may be hundreds."""
    names = versions[1].split(", ")
    return f"(from versions: {', '.join(['...', *names[-_SHOWN:]] if len(names) > _SHOWN else names)})"
