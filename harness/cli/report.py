"""`harness report`: a run, or two side by side, as one HTML file, or in the formats of other viewers."""

import json
from pathlib import Path
from typing import Any

import click

from harness.cli._waiting import quiet_option, waiting
from harness.cli.format_options import BUCKETS, format_options, formats_of, write_formats
from harness.cli.run_argument import named_run, run_argument
from harness.cli.target_options import Where, place_options

# A report is looked at closely, so it has more bars than the page, which asks for a window when it needs more.
REPORT_BUCKETS = 400


@click.command()
@run_argument
@click.argument("other_id", metavar="[RUN_B]", required=False)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the report to this file.  [default: report-RUN.html]",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was written as one JSON object.")
@format_options
@quiet_option
@place_options
def command(
    *,
    run_id: str,
    other_id: str | None,
    output: Path | None,
    as_json: bool,
    where: Where,
    **flags: Any,  # noqa: ANN401 - the flags of the formats
) -> None:
    """Write RUN, or RUN and RUN_B side by side, as one HTML file that any browser opens without a server.

    The file holds the page that `harness page` serves, with the run's records, and asks no server for anything.
    With a flag of a format (--trace, --csv and so on), RUN is written in that format, and as HTML only with --output.

    \b
    Example:
      harness report 20261123-151538-367b1d
      harness report 20261123-151538-367b1d 20261123-160210-99c0aa -o both.html
      harness report last --trace run.pftrace --csv tables
    """
    from harness.errors import HarnessError
    from harness.insight.folder import read_log, read_view
    from harness.page.report_file import report_html
    from harness.settings import load_settings

    formats = formats_of(flags, output)
    if formats and other_id is not None:
        raise HarnessError(
            "a format holds one run", f"RUN {run_id}, RUN_B {other_id}", "leave RUN_B out, or give no flag of a format"
        )
    settings = load_settings()
    names = [run_id] if other_id is None else [run_id, other_id]
    folders = [named_run(name, where, settings) for name in names]
    with waiting(f"reading {' and '.join(names)}"):
        views = [read_view(folder, target=where.target or "local", buckets=REPORT_BUCKETS) for folder in folders]
    written: dict[str, Any] = {"runs": [view.run_id for view in views]}
    if formats:
        write_formats(formats, read_view(folders[0], target=where.target or "local", buckets=BUCKETS), folders[0])
    if output is not None or not formats:
        path = output or Path(f"report-{'-'.join(view.run_id for view in views)}.html")
        logs = [read_log(folder, view) for folder, view in zip(folders, views, strict=True)]
        text = report_html(views, logs)
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise HarnessError(f"the report cannot be written: {error.strerror}", f"--output {path}") from error
        written |= {"file": str(path), "bytes": len(text.encode())}
    if as_json:
        click.echo(json.dumps(written))
    elif "file" in written:
        click.echo(f"wrote {written['file']}")
