"""The console script `harness`: finds the verb's file, runs it, and turns known errors into three lines."""

import importlib
import signal
import sys
from types import FrameType

import click

from harness.errors import HarnessError
from training.errors import TrainingError

VERBS = (
    "doctor",
    "up",
    "down",
    "status",
    "data",
    "run",
    "invoke",
    "rie",
    "logs",
    "runs",
    "predict",
    "forecast",
    "images",
    "deploy",
    "destroy",
)


class VerbGroup(click.Group):
    """A group whose commands are the modules `harness.cli.<verb>`, imported when called: `--help` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All verbs, in the order in which a newcomer needs them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The verb's command, or None when there is no such verb."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"harness.cli.{cmd_name}")
        command: click.Command = module.command
        return command


@click.group(cls=VerbGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="lambda-harness", prog_name="harness")
def cli() -> None:
    """Rehearse distributed training on AWS Lambda on this machine.

    \b
    Example:
      harness run --n-workers 4
    """


def main() -> None:
    """Entry point; known errors end with exit code 1 and no traceback, SIGTERM as Ctrl-C does, in order."""
    signal.signal(signal.SIGTERM, _end)
    # A mask that was inherited would keep this command, and whatever it starts, from being stopped.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        cli()
    except (HarnessError, TrainingError) as error:
        lines = str(error).splitlines()[:3]
        click.echo("\n".join([f"error: {lines[0]}", *(f"  {line}" for line in lines[1:])]), err=True)
        sys.exit(1)


def _end(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)
