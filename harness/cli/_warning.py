"""Errors that a command goes on after, told as warnings."""

from harness.cli._terminal import printable
from harness.errors import HarnessError
from harness.system.console import CAUTION, notice


def warn(error: HarnessError) -> None:
    """Print an error as a warning."""
    notice(printable("\n  ".join(f"warning: {error}".splitlines())), CAUTION)
