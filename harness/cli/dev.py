"""`harness dev`: edit functions and see at once what they do."""

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Literal

import click

from harness.cli._waiting import waiting
from harness.cli.debug_options import debug_port_option
from harness.cli.function_argument import functions_argument
from harness.cli.model_options import settings_with_models
from harness.cli.page_options import open_if_asked, open_option

if TYPE_CHECKING:
    import signal

    from harness.settings import Settings
    from harness.stack import StackState


@click.command("dev")
@functions_argument
@click.option(
    "--s3", type=click.Choice(["localstack", "moto"]), help="Emulate S3 with this program when no stack is up."
)
@click.option(
    "--mode",
    type=click.Choice(["process", "container"]),
    help="Run functions as processes or in containers.  [default: as the stack that is up, else from harness.toml]",
)
@click.option("--debug", metavar="NAME", help="Let invocations of this function wait for a debugger, one at a time.")
@debug_port_option
@open_option
def command(
    *,
    names: tuple[str, ...],
    s3: Literal["localstack", "moto"] | None,
    mode: Literal["process", "container"] | None,
    debug: str | None,
    debug_port: int | None,
    opened: bool,
) -> None:
    """Keep the functions NAME, or all that harness.toml declares, up to date with their files, and show what they do.

    Use the stack that is up, or start one, which stays up in the end.
    Without a harness.toml, NAME is one of the training functions that the harness ships.
    Print what functions log, and one line for each invocation.
    On a terminal, `r` invokes the last event again, `l` lists the last invocations, and a number opens the event of one
    in $EDITOR and invokes it again; `q` quits.

    \b
    Example:
      harness dev
      harness dev resize --s3 moto | tee dev.log
      harness dev --debug resize
    """
    from harness.cli.interruption import answer_signals
    from harness.errors import HarnessError
    from harness.runs.debugging import debug_ports
    from harness.runs.declared import declared
    from harness.settings import FILE_NAME
    from harness.stack import start_shared_stack
    from harness.system.console import notice
    from harness.system.debugpy import ensure_debugpy

    settings = settings_with_models()
    if not names and not (settings.root / FILE_NAME).is_file():
        raise HarnessError(
            f"there is no {FILE_NAME} here or above",
            str(settings.root),
            "make a project with `harness init`, or name functions that the harness ships",
        )
    for name in (*names, *([debug] if debug else [])):
        declared(settings, name)
    if debug is None and debug_port is not None:
        raise HarnessError("--debug-port was given without --debug", remedy="add --debug NAME")
    if names and debug is not None and debug not in names:
        raise HarnessError(f"--debug {debug}: the loop is for {', '.join(names)}", remedy=f"name {debug} too")
    with waiting("starting the stack") as log:
        if debug is not None:
            debug_ports(debug_port)  # before anything starts
            ensure_debugpy(settings, log)
        stack, started = start_shared_stack(settings, s3=s3, mode=mode, log=log)
    notice(f"the stack is up{'' if started else ' already'}: {stack.mode} mode, S3 by {stack.s3}")
    open_if_asked(settings, notice, opened=opened)
    stopped_by = _develop(settings, stack, names, debug, debug_port)
    if stopped_by is not None:
        answer_signals()
        os.kill(os.getpid(), stopped_by)


def _develop(
    settings: "Settings", stack: "StackState", names: tuple[str, ...], debug: str | None, debug_port: int | None
) -> "signal.Signals | None":
    import asyncio
    from contextlib import nullcontext
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from harness.aws.clients import clients_for
    from harness.cli._terminal import printable
    from harness.develop.building import ProjectBuilder
    from harness.develop.editor import edit
    from harness.develop.keyboard import Keyboard, has_keyboard
    from harness.develop.loop import DevelopmentLoop
    from harness.develop.screen import Screen
    from harness.runs.debugged_function import debugged_function

    def clean(text: str) -> str:
        return printable(text) if sys.stdout.isatty() or sys.stderr.isatty() else text

    screen = Screen(names or settings.functions, click.echo, clean)
    builder = ProjectBuilder(settings, names, stack.mode, clients_for(stack.endpoints).functions, screen.note)

    async def run(keyboard: Keyboard, folder: str) -> "signal.Signals | None":
        loop = asyncio.get_running_loop()

        def note(text: str) -> None:
            loop.call_soon_threadsafe(screen.note, text)

        with debugged_function(stack, settings, debug, debug_port, note) if debug else nullcontext():
            return await DevelopmentLoop(stack, builder, screen, keyboard, partial(edit, folder=Path(folder))).run()

    # An editor may outlive the loop, in a thread that never ends; its file must not.
    with TemporaryDirectory(prefix="lambda-harness-") as folder, Keyboard(present=has_keyboard()) as keyboard:
        return asyncio.run(run(keyboard, folder))
