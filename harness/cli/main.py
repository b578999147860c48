"""The console script `harness`: it runs the verb's module, and prints known errors in three lines."""

import errno
import importlib
import signal
import sys
from collections.abc import Mapping
from typing import ClassVar

import click

from harness.bundle import DISTRIBUTION
from harness.cli._terminal import printable
from harness.cli.groups import SuggestingGroup
from harness.cli.interruption import StopRequested, answer_signals, arrived
from harness.cli.last_handler import describe, watch_threads
from harness.cli.streams import OutputLostError, close_streams, discard_output, open_streams
from harness.cli.usage import describe_usage
from harness.errors import HarnessError
from training.errors import TrainingError

VERBS = (
    "init",
    "doctor",
    "up",
    "down",
    "status",
    "data",
    "model",
    "run",
    "tune",
    "dev",
    "page",
    "functions",
    "invoke",
    "explore",
    "rie",
    "logs",
    "runs",
    "show",
    "attach",
    "stop",
    "why",
    "report",
    "predict",
    "export",
    "forecast",
    "presets",
    "images",
    "deploy",
    "calibrate",
    "destroy",
    "completion",
)

# What other tools call these verbs.
OTHER_WORDS = {
    "new": "init",
    "start": "up",
    "halt": "down",
    "ps": "status",
    "train": "run",
    "call": "invoke",
    "watch": "dev",
    "tail": "logs",
    "ui": "page",
    "dashboard": "page",
    "figures": "presets",
    "prices": "presets",
}


# Longer than any useful error message.
LONGEST_LINE = 1200


class VerbGroup(SuggestingGroup):
    """A group whose commands are the modules `harness.cli.<verb>`, imported when called so that `--help` stays fast."""

    other_words: ClassVar[Mapping[str, str]] = OTHER_WORDS

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return all verbs, in the order in which a newcomer needs them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Return the verb's command, or None if there is no such verb."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"harness.cli.{cmd_name}")
        command: click.Command = module.command
        return command


@click.group(cls=VerbGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name=DISTRIBUTION, prog_name="harness")
def cli() -> None:
    """Rehearse distributed training on AWS Lambda on this machine.

    \b
    Example:
      harness run --n-workers 4
    """


def main() -> None:
    """Run a command; any error ends with an exit code and a few lines, never with a traceback."""
    open_streams()
    watch_threads()
    answer_signals()
    code = _exit_code()
    try:
        close_streams()
    except OutputLostError as error:
        code = _output_lost(error)
    sys.exit(code)


def _exit_code() -> int | str | None:
    code: int | str | None = 1
    try:
        # click returns a number when it has answered itself, as it does for --help.
        code = cli.main(prog_name="harness", standalone_mode=False) or 0
    except StopRequested as stop:
        _say([f"interrupted ({stop.signal.name})", *_notes(stop)])
        code = stop.code
    except SystemExit as end:
        code = end.code
    except (click.Abort, KeyboardInterrupt) as interruption:
        _say(["interrupted", *_notes(interruption), *_notes(interruption.__cause__)])
        code = 128 + signal.SIGINT
    except click.ClickException as error:
        _say_error(describe_usage(error))
        code = error.exit_code
    except OutputLostError as error:
        code = _output_lost(error)
    except (HarnessError, TrainingError) as error:
        _say_error(str(error).splitlines())
    except Exception as error:  # noqa: BLE001 - the user gets one line, and the traceback is kept in a file
        _say_error(describe(error))
    finally:
        arrived()
    return code


def _output_lost(error: OutputLostError) -> int:
    """Return the exit code: a closed pipe (`harness runs | head -1`) is no error, a full disk is one."""
    discard_output()
    if error.errno == errno.EPIPE:
        return 128 + signal.SIGPIPE
    _say_error([str(error)])
    return 1


def _say_error(lines: list[str]) -> None:
    first, *more = lines or ["without a word"]
    _say([f"error: {_cut(first)}", *map(_cut, more[:2])])


def _cut(line: str) -> str:
    """Cut the middle out of a line that would fill the screen: it may quote an argument of any length."""
    half = LONGEST_LINE // 2
    return line if len(line) <= LONGEST_LINE else f"{line[:half]} ... {line[-half:]}"


def _say(lines: list[str]) -> None:
    from harness.system.console import print_error

    # A cause may quote a log or a value in the cache.
    first, *more = map(printable, lines)
    print_error("\n".join([first, *(f"  {line}" for line in more)]))


def _notes(error: BaseException | None) -> list[str]:
    return list(getattr(error, "__notes__", ()))
