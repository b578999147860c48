"""`harness attach`: follow a run that is under way."""

import click

from harness.cli._waiting import quiet_option
from harness.cli.run_argument import elsewhere, run_argument
from harness.cli.show import show
from harness.cli.target_options import Where, place_options


@click.command()
@run_argument
@click.option("--json", "as_json", is_flag=True, help="Print the whole summary as one JSON object.")
@quiet_option
@place_options
def command(
    *,
    run_id: str,
    as_json: bool,
    where: Where,
) -> None:
    """Follow RUN to its end, and print its summary; Ctrl-C leaves it running.

    The run was started in another terminal, by hand, or with --target on AWS. RUN may be the beginning of its id, or
    `last`. A run that is over is shown.

    \b
    Example:
      harness attach last
      harness attach 20261123-151538-367b1d --target aws
    """
    import msgspec

    from harness.aws.errors import aws_errors
    from harness.cli.display import RunDisplay
    from harness.history.records import FINAL, RUN, SUMMARY, KeptRecord
    from harness.runs.attach import attach
    from harness.runs.places import run_folder, standing_run
    from harness.settings import load_settings

    settings = load_settings()
    place = elsewhere(where, settings)
    folder = run_folder(run_id, settings, place)
    record = folder.read_as(RUN, KeptRecord)
    if record is not None and record.status in FINAL:
        show(record, folder.read(SUMMARY), as_json=as_json)
        return
    standing = standing_run(folder.run_id, settings, place)
    try:
        with RunDisplay() as display, aws_errors("following the run"):
            found = attach(standing, display.stage, display.watch)
    except KeyboardInterrupt as error:
        error.add_note(f"run {standing.run_id} goes on; `harness attach {standing.run_id}` follows it again")
        raise
    show(found.record, None if found.summary is None else msgspec.json.encode(found.summary), as_json=as_json)
