"""`harness explore`: kill, fail, repeat and overlap an invocation at each of its calls to AWS."""

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from harness.cli._waiting import quiet_option, waiting
from harness.cli.debug_options import debug_port_option

if TYPE_CHECKING:
    from harness.explore.exploring import ExploredFunction
    from harness.explore.findings import Exploration
    from harness.explore.replay_file import ReplayFile
    from harness.explore.stage import Stage
    from harness.settings import Settings

_SOME_OVERLAPS, _MOST_OVERLAPS = 150, 10_000


@click.command()
@click.argument("function", required=False)
@click.option("--event", type=click.File("rb"), help="Read the event from this file; `-` is standard input.")
@click.option("--payload", help="Use this JSON as the event.")
@click.option(
    "--prepare",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Make what the function needs by `prepare(client)` of this Python file, and compare by its rules.",
)
@click.option(
    "--overlaps",
    type=click.IntRange(0, _MOST_OVERLAPS),
    default=_SOME_OVERLAPS,
    show_default=True,
    help="Let two deliveries overlap in at most this many ways.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Draw the overlaps by this seed, if there are more."
)
@click.option(
    "--replay",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Play the schedule of one finding again.",
)
@click.option("--debug", is_flag=True, help="With --replay: each environment waits for a debugger.")
@debug_port_option
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object; its `findings` are empty if nothing is wrong."
)
@quiet_option
def command(  # noqa: PLR0913 - keywords only, each an option
    *,
    function: str | None,
    event: BinaryIO | None,
    payload: str | None,
    prepare: Path | None,
    overlaps: int,
    seed: int,
    replay: Path | None,
    debug: bool,
    debug_port: int | None,
    as_json: bool,
) -> None:
    """Find out what becomes of FUNCTION's effects if Lambda kills, fails, repeats or overlaps its invocation.

    FUNCTION is declared in harness.toml, or it is a folder or a Python file.
    It runs undisturbed, then once for each call that it makes to AWS and each thing that can happen there; Lambda's
    retries follow as on AWS. In the end the services must hold what they hold after the undisturbed run.
    It has services of its own, so that no stack has to be up and none is changed.
    The exit code is 1 if there is a finding.

    \b
    Example:
      harness explore orders --event order.json --prepare tables.py
      harness explore src/orders.py --payload '{"id": 7}' --prepare tables.py --json
      harness explore --replay .harness/explore/orders-1.json --debug
    """
    from harness.errors import HarnessError
    from harness.explore.exploring import explore
    from harness.explore.replay_file import with_replays
    from harness.settings import load_settings

    if debug_port is not None and not debug:
        raise HarnessError("--debug-port was given without --debug", remedy="add --debug")
    settings = _with_shipped(load_settings())
    if replay is not None:
        if function is not None or event is not None or payload is not None or prepare is not None:
            raise HarnessError(
                "--replay names a file that says everything", remedy="leave FUNCTION and its options out"
            )
        found = _replayed(settings, replay, debug=debug, port=debug_port)
    else:
        if function is None:
            raise HarnessError("which function? none was named", remedy="name one of harness.toml, a folder or a file")
        if debug:
            raise HarnessError("--debug is for a replay", remedy="explore first, then add --replay FILE")
        described = _described(settings, function, event, payload, prepare)
        with waiting(f"exploring {described.function}") as say:
            found = explore(_explored(settings, described), most_overlaps=overlaps, seed=seed, progress=say)
        found = with_replays(found, settings, described)
    _print(found, as_json=as_json)
    if found.findings:
        sys.exit(1)


def _with_shipped(settings: "Settings") -> "Settings":
    """Return the settings with the training functions, which no project needs to declare."""
    import msgspec

    from harness.settings import shipped_functions

    return msgspec.structs.replace(settings, functions={**shipped_functions(), **settings.functions})


def _described(
    settings: "Settings", function: str, event: BinaryIO | None, payload: str | None, prepare: Path | None
) -> "ReplayFile":
    """Return what the command line names, as a replay names it."""
    from harness.errors import HarnessError
    from harness.explore.replay_file import ReplayFile
    from harness.runs.declared import declared
    from harness.runs.deployment import name_of
    from harness.runs.invoke import check_event

    if event is not None and payload is not None:
        raise HarnessError("--event and --payload were both given", remedy="give one of them")
    source = None
    if function not in settings.functions:
        if not Path(function).exists():
            declared(settings, function)
        source = str(Path(function).resolve())
    body = event.read() if event is not None else os.fsencode(payload or "{}")
    check_event(body, f"--event {event.name}" if event is not None else "--payload")
    return ReplayFile(
        function=name_of(settings, source) if source else function,
        source=source,
        event=json.loads(body or b"{}"),
        prepare=str(prepare.resolve()) if prepare else None,
    )


def _explored(settings: "Settings", described: "ReplayFile") -> "ExploredFunction":
    from harness.explore.exploring import ExploredFunction
    from harness.explore.prepare_file import Preparation, load_preparation

    return ExploredFunction(
        settings=settings,
        name=described.function,
        event=described.event,
        source=Path(described.source) if described.source else None,
        preparation=load_preparation(Path(described.prepare)) if described.prepare else Preparation(),
    )


def _replayed(settings: "Settings", path: Path, *, debug: bool, port: int | None) -> "Exploration":
    """Play the schedule of a file again."""
    from harness.errors import HarnessError
    from harness.explore.exploring import play_one
    from harness.explore.replay_file import read_replay
    from harness.gateway.debug_records import LIFTED_S
    from harness.runs.debugged_function import debugged_function
    from harness.system.console import notice
    from harness.system.debugpy import ensure_debugpy

    described = read_replay(path)
    if not debug:
        with waiting(f"replaying {path.name}") as say:
            return play_one(_explored(settings, described), described.schedule, progress=say)
    if described.source is not None:
        raise HarnessError(
            f"--debug needs a function of harness.toml, and {described.source} is not declared",
            remedy="declare it below [functions.NAME], and explore it by its name",
        )
    if described.schedule.overlap is not None:
        raise HarnessError(
            f"--debug holds one delivery at a time, and {path.name} needs two at once",
            remedy="replay it without --debug",
        )
    with waiting("making debugpy ready") as log:
        ensure_debugpy(settings, log)

    def debugged(stage: "Stage") -> ExitStack:
        opened = ExitStack()
        stage.patience_s = LIFTED_S
        opened.enter_context(debugged_function(stage.state, settings, described.function, port, notice))
        return opened

    return play_one(_explored(settings, described), described.schedule, progress=notice, debugged=debugged)


def _print(found: "Exploration", *, as_json: bool) -> None:
    import msgspec

    from harness.cli._terminal import echo, printable
    from harness.explore.wording import page, summary
    from harness.system.console import notice, results

    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    for number, finding in enumerate(found.findings, start=1):
        echo(page(finding, number, found.function, max(60, min(results().width, 120))))
    for note in found.notes:
        notice(printable(f"note: {note}"))
    echo(summary(found))
