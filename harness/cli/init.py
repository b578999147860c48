"""`harness init`: make a new project."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.project.creation import Template


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option(
    "--template",
    type=click.Choice(["function", "pipeline", "training"]),
    default="function",
    show_default=True,
    help="Make a project of one function; of S3, two functions and SQS; or of a distributed training.",
)
@click.option("--keep", is_flag=True, help="Keep files that exist, and write the others.")
@click.option(
    "--schema", "schema_only", is_flag=True, help="Update the project's JSON Schema of harness.toml, and only it."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print each file, and whether it was written, as one JSON object."
)
def command(*, folder: Path, template: "Template", keep: bool, schema_only: bool, as_json: bool) -> None:
    """Make a project in FOLDER, by default the working folder, with tests and a CI workflow that pass at once.

    Existing files are never overwritten: if one is in the way, nothing is written.

    \b
    Example:
      harness init my-function
      harness init my-pipeline --template pipeline
    """
    from harness.cli._terminal import printable
    from harness.project.creation import commands_of, files_of, make_project, write_schema
    from harness.system.console import notice

    if schema_only:
        path = str(write_schema(folder))
        click.echo(json.dumps({path: True}) if as_json else printable(path))
        return
    made = make_project(folder, files_of(template), keep=keep)
    if as_json:
        click.echo(json.dumps({str(folder / name): written for name, written in made.items()}))
        return
    for name, written in made.items():
        click.echo(printable(f"{'wrote' if written else 'kept '}  {folder / name}"))
    # Commands go to standard error: they are advice, not the result.
    here = [] if folder.resolve() == Path.cwd() else [f"cd {shlex.quote(str(folder))}"]
    notice("\n".join(["", "Now run (README.md says more):", *map(_indented, [*here, *commands_of(template)])]))


def _indented(line: str) -> str:
    from harness.cli._terminal import printable

    return f"  {printable(line)}"
