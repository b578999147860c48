"""`harness stop`: end a run that is under way."""

import click

from harness.cli._waiting import quiet_option, waiting
from harness.cli.run_argument import elsewhere, run_argument
from harness.cli.target_options import Where, place_options


@click.command()
@run_argument
@click.option("--json", "as_json", is_flag=True, help="Print how the run has ended, as JSON.")
@quiet_option
@place_options
def command(
    *,
    run_id: str,
    as_json: bool,
    where: Where,
) -> None:
    """Tell the workers of RUN to stop, wait until they have ended, and keep the run as stopped.

    RUN may be the beginning of the run's id, or `last`. `harness down` stops the stack.

    \b
    Example:
      harness stop last
    """
    import msgspec

    from harness.aws.errors import aws_errors
    from harness.history.folder import KeptFolder
    from harness.history.records import FINAL
    from harness.runs.attach import not_under_way, stop
    from harness.runs.places import run_folder, standing_run
    from harness.settings import load_settings

    settings = load_settings()
    place = elsewhere(where, settings)
    named = run_folder(run_id, settings, place)
    if isinstance(named, KeptFolder) and (record := named.record()) is not None and record.status in FINAL:
        raise not_under_way(record)
    folder = standing_run(named.run_id, settings, place)
    with waiting(f"stopping run {folder.run_id}"), aws_errors("stopping the run"):
        record = stop(folder, lambda _stage: None)
    if as_json:
        click.echo(msgspec.json.encode({"run_id": record.run_id, "status": record.status}).decode())
    else:
        click.echo(f"run {record.run_id} has {'stopped' if record.status == 'stopped' else record.status}")
