"""`harness run`: the whole flow in one command."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import click
import msgspec

from training.job import Job, describe

# Known only when the stack runs; a run sets them itself.
_SET_BY_THE_RUN = {"host", "port"}
_CLICK_TYPES: dict[Any, click.ParamType[Any]] = {int: click.INT, float: click.FLOAT, str: click.STRING}

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def job_options(function: Decorated) -> Decorated:
    """One option per key of the job, with dashes, in the job's own words."""
    hints = get_type_hints(Job, include_extras=True)
    for field in reversed(msgspec.structs.fields(Job)):
        if field.name in _SET_BY_THE_RUN:
            continue
        default = "" if field.default in (msgspec.NODEFAULT, None, "") else f" [default: {field.default}]"
        option = click.option(
            "--" + field.encode_name.replace("_", "-"),
            f"job_{field.name}",
            type=_click_type(hints[field.name]),
            help=describe(hints[field.name]) + default,
        )
        function = option(function)
    return function


@click.command()
@click.option("--data", help="A file, s3://bucket, sklearn:NAME or synthetic:rows=N,features=N.", show_default=True)
@click.option(
    "--job",
    "job_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A job's event as JSON; flags override it.",
)
@click.option("--s3", type=click.Choice(["localstack", "moto"]), help="What plays S3 when no stack is up.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole summary as one JSON object.")
@job_options
def command(
    *,
    data: str | None,
    job_file: Path | None,
    s3: Literal["localstack", "moto"] | None,
    as_json: bool,
    **flags: object,
) -> None:
    """Trains a model: partitions the data, starts the functions, follows the workers, prints a summary.

    Uses the stack that `harness up` started; when none is up, starts one and stops it at the end.

    \b
    Example:
      harness run --data sklearn:breast_cancer --n-workers 2 --n-epochs 30 --batch-size 32 --json
    """
    from harness.cli.display import RunDisplay, print_summary
    from harness.runs.clients import clients_for
    from harness.runs.launch import check, read_request, run
    from harness.settings import load_settings
    from harness.stack import stack_for_run

    set_flags = {name.removeprefix("job_"): value for name, value in flags.items() if value is not None}
    request = read_request(data, job_file, set_flags)
    check(request)
    settings = load_settings()
    with RunDisplay() as display:
        display.stage("starting the stack")
        with stack_for_run(settings, s3=s3) as stack:
            summary = run(
                request,
                settings,
                stack,
                clients_for(stack.endpoints),
                report=display.stage,
                watch=display.watch,
            )
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(summary)))
    else:
        print_summary(summary)


def _click_type(hint: Any) -> click.ParamType[Any]:  # noqa: ANN401 - a type hint has no narrower type
    """The option's type: what click cannot say (ranges, patterns) is left to the job's own check."""
    for part in (hint, *get_args(hint)):
        if part in _CLICK_TYPES:
            return _CLICK_TYPES[part]
        if get_origin(part) is Literal:
            return click.Choice([str(value) for value in get_args(part)])
        if get_args(part) and get_args(part)[0] in _CLICK_TYPES:
            return _CLICK_TYPES[get_args(part)[0]]
    return click.STRING


if __name__ == "__main__":
    sys.exit(command())
