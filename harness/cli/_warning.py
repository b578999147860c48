"""Errors that a command goes on after, told as warnings."""

import click

from harness.cli._terminal import printable
from harness.errors import HarnessError


def warn(error: HarnessError) -> None:
    """Print an error as a warning."""
    click.echo(printable("\n  ".join(f"warning: {error}".splitlines())), err=True)
