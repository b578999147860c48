"""`harness run`: train a model with one command."""

import json
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from harness.cli._waiting import quiet_option
from harness.cli.data_options import table_options, table_options_of
from harness.cli.debug_options import run_debug_options, run_debug_targets
from harness.cli.fault_options import fault_options, fault_plan, needs_own_stack, with_flags
from harness.cli.format_options import exporting, format_options, formats_of
from harness.cli.job_options import errors_name_flags, job_event, job_options
from harness.cli.network_options import emulated_network, network_options
from harness.cli.page_options import open_if_asked, open_option
from harness.cli.target_options import (
    account_option,
    refuse_account_without_target,
    region_option,
    stack_option,
    target_of,
    target_option,
)
from harness.cli.usage import errors_name_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.deploy.target import Target
    from harness.presets.emulated_network import EmulatedNetwork
    from harness.runs.prepared import PreparedRun
    from harness.runs.run_target import RunTarget
    from harness.runs.summary import Summary
    from harness.settings import Settings
    from harness.stack.plan import Log


@click.command()
@click.option(
    "--data",
    help="Train on this data: files, s3://BUCKET, sklearn:NAME or synthetic:...; docs/your-data.md lists all forms.",
)
@click.option(
    "--test",
    help="Measure the trained model on this data as well: a file, s3://BUCKET or sklearn:NAME, as for --data.",
)
@click.option(
    "--job",
    "job_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Read the job's event from this JSON file; flags override it.",
)
@click.option(
    "--s3", type=click.Choice(["localstack", "moto"]), help="Emulate S3 with this program when no stack is up."
)
@click.option(
    "--mode",
    type=click.Choice(["process", "container"]),
    help="Run functions as processes or in containers.  [default: as the stack that is up, else from harness.toml]",
)
@target_option
@stack_option
@region_option
@account_option
@click.option(
    "--model-file", type=click.Path(path_type=Path, dir_okay=False), help="Save the trained model to this file."
)
@click.option(
    "--save-event",
    "event_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Save the coordinator's event to this file, for `aws lambda invoke` on the same stack.",
)
@open_option
@click.option("--json", "as_json", is_flag=True, help="Print the whole summary as one JSON object.")
@quiet_option
@click.option("--describe", is_flag=True, help="Describe the table in --data, and train nothing.")
@table_options
@run_debug_options
@fault_options
@network_options
@format_options
@job_options
def command(  # noqa: PLR0913 - keywords only, each an option
    *,
    data: str | None,
    test: str | None,
    job_file: Path | None,
    s3: Literal["localstack", "moto"] | None,
    mode: Literal["process", "container"] | None,
    target: Literal["aws", "rehearsal"] | None,
    stack: str,
    region: str | None,
    expect_account: str | None,
    model_file: Path | None,
    event_file: Path | None,
    as_json: bool,
    describe: bool,
    **flags: object,
) -> None:
    """Train a model: partition the data, start the functions, follow the workers and print a summary.

    The run uses the stack that `harness up` started; if none is up, it starts one and stops it at the end.
    A run with faults, an emulated network, its own time scale or number of zones always starts a private stack.
    With --target, it uses the deployed functions, and the data goes into the deployment's bucket.
    Without --n-workers, 4 workers train, or one for each partition if --data is a bucket.

    \b
    Example:
      harness run --data sklearn:breast_cancer --n-workers 2 --n-epochs 30 --batch-size 32 --json
      harness run --target aws --n-workers 4
      harness run --fault "kill rank=1 round=10" --retry-time-scale 0.02
      harness run --network aws --zones 2 --set store_bandwidth=300
      harness run --n-workers 4 --debug rank=1
    """
    from harness.aws.errors import aws_errors
    from harness.cli.display import RunDisplay
    from harness.runs.launch import run
    from harness.runs.output_files import save_event, save_model
    from harness.runs.prepared import prepare_run, with_test_set
    from harness.settings import load_settings
    from harness.system.debugpy import ensure_debugpy
    from training.matrix import check_used

    _check_folders({"--model-file": model_file, "--save-event": event_file})
    given, formats = job_event(flags), formats_of(flags)
    with exporting(formats) as ended:
        with errors_name_flags(given), errors_name_data({"--data": data, "--test": test}):
            debug, plan = run_debug_targets(flags, target), fault_plan(flags)
            settings = load_settings()
            options, ours = table_options_of(flags), flags["table_missing"] is None
            prepared = prepare_run(data, job_file, given, plan, debug, settings, options, missing_is_ours=ours)
            check_used(given, prepared.job)
            prepared = with_test_set(prepared, test, options)
            if describe:
                click.echo(_described(data, given, flags, as_json=as_json))
                return
            settings = with_flags(prepared.settings_of(settings), prepared, flags)
            network = emulated_network(flags, settings.gateway.zones)
            own = needs_own_stack(prepared, flags)
            _check_target(target, expect_account, local=bool(own or s3 or mode or flags["opened"]))
            with RunDisplay() as display, ExitStack() as held:
                open_if_asked(settings, display.note, opened=bool(flags["opened"]))
                display.stage("starting the stack" if target is None else "looking at the deployment")
                deployment = target_of(target, region, settings, expect_account) if target is not None else None
                place = _place(settings, prepared, network, deployment, stack, s3, mode, own=own, log=display.stage)
                run_target = held.enter_context(place)
                if debug:
                    ensure_debugpy(settings, display.stage)
                with aws_errors("the run"):
                    watch, note = display.watch, display.note
                    summary = run(
                        prepared, settings, run_target, report=display.stage, watch=watch, note=note, ended=ended
                    )
                    if model_file is not None:
                        save_model(run_target.clients.s3, summary, model_file)
        if event_file is not None:
            save_event(summary, event_file)
        _print(summary, as_json=as_json)


def _described(data: str | None, given: "Mapping[str, Any]", flags: "Mapping[str, Any]", *, as_json: bool) -> str:
    from harness.cli.description import describe_data
    from harness.errors import HarnessError
    from harness.runs.prepared import requested_task

    if data is None:
        raise HarnessError("--describe needs --data", remedy="name the table")
    options = table_options_of(flags).for_task(requested_task(given))
    return describe_data(data, options, None, missing_is_ours=flags["table_missing"] is None, as_json=as_json)


def _check_folders(paths: "Mapping[str, Path | None]") -> None:
    """Refuse a file in a folder that does not exist, before the run: at its end the results would be lost."""
    from harness.errors import HarnessError

    for option, path in paths.items():
        if path is not None and not path.parent.is_dir():
            raise HarnessError(f"the folder of {option} {path} does not exist", remedy="make it first")


def _check_target(target: str | None, expect_account: str | None, *, local: bool) -> None:
    """Refuse a flag that is for the other kind of target: a deployment, or a stack on this machine."""
    from harness.errors import HarnessError

    if target is None:
        refuse_account_without_target(expect_account)
    elif local:
        raise HarnessError(
            f"--target {target} is what was deployed; it takes no faults, no time scale, "
            "no --network, --zones, --cache-nodes, --s3, --mode or --open",
            remedy="leave them out, or leave --target out",
        )


@contextmanager
def _place(  # noqa: PLR0913 - one for each choice
    settings: "Settings",
    prepared: "PreparedRun",
    network: "EmulatedNetwork | None",
    deployment: "Target | None",
    deployed_stack: str,
    s3: Literal["localstack", "moto"] | None,
    mode: Literal["process", "container"] | None,
    *,
    own: bool,
    log: "Log",
) -> "Iterator[RunTarget]":
    """Use the deployment, or the stack that is up, or start one for the length of the block."""
    from harness.aws.clients import clients_for
    from harness.deploy.run_target import deployed_run_target
    from harness.runs.run_target import stack_target
    from harness.stack import stack_for_run, start_private_stack

    if deployment is not None:
        yield deployed_run_target(deployment, deployed_stack, log)
        return
    stack = (
        start_private_stack(settings, s3=s3, mode=mode, faults=bool(prepared.faults), network=network, log=log)
        if own
        else stack_for_run(settings, s3=s3, mode=mode, log=log)
    )
    with stack as state:
        yield stack_target(state, clients_for(state.endpoints))


def _print(summary: "Summary", *, as_json: bool) -> None:
    import msgspec

    from harness.cli.display import print_summary

    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(summary)))
    else:
        print_summary(summary)
