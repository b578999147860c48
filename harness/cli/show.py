"""`harness show`: print a run's summary again."""

from typing import TYPE_CHECKING

import click

from harness.cli.run_argument import named_run, run_argument
from harness.cli.target_options import Where, place_options

if TYPE_CHECKING:
    from harness.history.records import KeptRecord


@click.command()
@run_argument
@click.option("--json", "as_json", is_flag=True, help="Print the whole summary as one JSON object.")
@place_options
def command(
    *,
    run_id: str,
    as_json: bool,
    where: Where,
) -> None:
    """Print the summary of RUN as it was printed at its end; of a run that failed, its error.

    RUN is one that is kept, or on the stack that is up, or with --target in the deployment; the beginning of its id
    is enough, and `last` is the newest.

    \b
    Example:
      harness show last
      harness show 20261123-151538-367b1d --json
    """
    from harness.errors import HarnessError
    from harness.history.records import RUN, SUMMARY, KeptRecord
    from harness.settings import load_settings

    folder = named_run(run_id, where, load_settings())
    record, body = folder.read_as(RUN, KeptRecord), folder.read(SUMMARY)
    if record is None:
        raise HarnessError(
            f"run {folder.run_id} is damaged: it has no record", folder.location(RUN), "remove it by `harness runs rm`"
        )
    show(record, body, as_json=as_json)


def show(record: "KeptRecord", summary: bytes | None, *, as_json: bool) -> None:
    """Print what is known of a run.

    Args:
        record: What became of it.
        summary: Its summary as JSON; None if it has not succeeded.
        as_json: Whether to print JSON: the summary, or the record of a run that has not succeeded.
    """
    import msgspec

    from harness.cli._terminal import printable
    from harness.cli.display import print_summary
    from harness.errors import HarnessError
    from harness.runs.summary import Summary
    from harness.system.console import BAD, CAUTION, result

    if as_json:
        try:
            click.echo(msgspec.json.encode(record if summary is None else msgspec.json.decode(summary)).decode())
        except (msgspec.MsgspecError, ValueError) as error:
            raise HarnessError(f"the summary of run {record.run_id} is damaged: it is no JSON", str(error)) from error
        return
    if summary is not None:
        try:
            print_summary(msgspec.json.decode(summary, type=Summary))
        except (msgspec.MsgspecError, ValueError) as error:
            raise HarnessError(
                f"the summary of run {record.run_id} is of another version: {error}", "", "see it with --json"
            ) from error
        return
    result(f"{record.status}  run {record.run_id}", BAD if record.status == "failed" else CAUTION)
    for number, line in enumerate(record.error):
        result(printable(f"  {line}" if number else f"error: {line}"))
    if record.status == "running":
        result(f"follow it with `harness attach {record.run_id}`")
