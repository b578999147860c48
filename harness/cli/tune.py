"""`harness tune`: search hyperparameters with trials that are normal runs."""

import json
from contextlib import ExitStack, chdir, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli._waiting import quiet_option
from harness.cli.data_options import table_options, table_options_of
from harness.cli.groups import SuggestingGroup
from harness.cli.job_options import errors_name_flags, job_event, job_options
from harness.cli.target_options import account_option, region_option, stack_option, target_option
from harness.cli.usage import errors_name_data

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.cli.tune_display import TuneDisplay
    from harness.runs.prepared import PreparedRun
    from harness.runs.run_target import RunTarget
    from harness.settings import Settings
    from harness.tune.records import StudyPlan, StudyRecord, StudyTable, TrialPlace

USUAL_REDUCTION = 3
MOST_TRIALS = 10_000
# Flags that a resumed study may change: they decide nothing about its trials.
_OF_A_RESUMPTION = {"quiet", "resume", "n_trials", "at_once", "max_workers", "output", "as_json"}


def _names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's signature
    """Return the studies whose names begin so, for completion in a shell."""
    from harness.errors import HarnessError
    from harness.settings import load_settings
    from harness.tune.folder import study_names

    try:
        return [name for name in study_names(load_settings()) if name.startswith(incomplete)]
    except HarnessError:
        return []


@click.group("tune", cls=SuggestingGroup, invoke_without_command=True, subcommand_metavar="[list | show NAME]")
@click.option("--data", help="Train on this data, as `harness run` takes it; it is partitioned once.")
@click.option(
    "--job",
    "job_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Read keys that all trials have from this JSON file; flags and searched keys override it.",
)
@click.option(
    "--search",
    multiple=True,
    metavar="KEY=VALUES",
    help="Search this key of the job: lr=0.001..1:log, momentum=0..0.9:step=0.1, batch_size=100,1000; repeatable."
    "  [default: a space for the model]",
)
@click.option(
    "--space",
    "space_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Read the search space from this TOML or JSON file.",
)
@click.option(
    "--trials",
    "n_trials",
    type=click.IntRange(1, MOST_TRIALS),
    help="Run this many trials.  [default: 20, or all of a smaller space]",
)
@click.option("--metric", help="Compare trials by this metric, on validation rows if there are any.  [default: loss]")
@click.option("--halving", is_flag=True, help="Train all trials for few epochs, and the better ones for more.")
@click.option(
    "--reduction",
    type=click.IntRange(2, 100),
    help=f"With --halving, keep one trial of this many on each rung.  [default: {USUAL_REDUCTION}]",
)
@click.option(
    "--at-once", type=click.IntRange(1), help="Run at most this many trials at once.  [default: by the cores]"
)
@click.option("--max-workers", type=click.IntRange(1), help="Run at most this many workers at once, over all trials.")
@click.option("--name", help="Name the study.  [default: from the command]")
@click.option("--resume", metavar="NAME", shell_complete=_names, help="Go on with this study.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Save the best trial's job to this JSON file, for `harness run --job`.",
)
@click.option(
    "--s3", type=click.Choice(["localstack", "moto"]), help="Emulate S3 with this program when no stack is up."
)
@click.option(
    "--mode",
    type=click.Choice(["process", "container"]),
    help="Run functions as processes or in containers.  [default: as the stack that is up, else from harness.toml]",
)
@click.option("--function-timeout", type=click.IntRange(1, 900), help="Set the workers' time limit, in seconds.")
@click.option("--function-memory", type=click.IntRange(128, 10_240), help="Set the workers' memory, in MB.")
@target_option
@stack_option
@region_option
@account_option
@click.option("--json", "as_json", is_flag=True, help="Print the study as one JSON object.")
@quiet_option
@table_options
@job_options
@click.pass_context
def command(context: click.Context, /, **flags: Any) -> None:  # noqa: ANN401 - one for each option
    """Search hyperparameters: at random, or with --halving by successive halving; every trial is a normal run.

    The study uses the stack that is up, or starts one for all of its trials.
    The same command, or --resume NAME, goes on with a study that was interrupted; its finished trials are kept.
    Keys of the job that are given as flags are the same for all trials; --seed also decides which trials are drawn.

    \b
    Example:
      harness tune --data sklearn:breast_cancer --search lr=0.001..1:log --search batch_size=16,64 --trials 12
      harness tune --data train.csv --halving --trials 27 --n-epochs 27 --output best.json
      harness run --data train.csv --job best.json
    """
    if context.invoked_subcommand is not None:
        _refuse_flags(context, set(), f"harness tune {context.invoked_subcommand}")
        return
    if flags["resume"] is not None:
        _refuse_flags(context, _OF_A_RESUMPTION, f"--resume {flags['resume']}")
    _tune(flags)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def list_studies(*, as_json: bool) -> None:
    """List the studies of this project.

    \b
    Example:
      harness tune list --json
    """
    import msgspec

    from harness.cli._table import TableColumn, figures, print_table
    from harness.settings import load_settings
    from harness.tune.catalogue import list_entries

    entries = list_entries(load_settings())
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(entries)))
        return
    rows = []
    for each in entries:
        best = "-" if each.best is None else f"{each.best:.6g}"
        trials = f"{each.ended} of {each.n_trials}" + (f", {each.failed} failed" if each.failed else "")
        rows.append((each.name, each.state, trials, each.metric, best, each.data or "", each.created_at[:16]))
    columns = [TableColumn("study"), TableColumn("state", folds=True), TableColumn("trials"), TableColumn("metric")]
    print_table([*columns, *figures("best"), TableColumn("data", folds=True), TableColumn("created")], rows)


@command.command("show")
@click.argument("name", shell_complete=_names)
@click.option("--json", "as_json", is_flag=True, help="Print the study as one JSON object.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Save the best trial's job to this JSON file, for `harness run --job`.",
)
def show(*, name: str, as_json: bool, output: Path | None) -> None:
    """Print the table of the study NAME, also while another command works on it.

    \b
    Example:
      harness tune show lr-1a2b3c4d --output best.json
    """
    from harness.settings import load_settings
    from harness.tune.folder import read_study
    from harness.tune.table import read_table

    settings = load_settings()
    record = read_study(settings, name)
    _check_folder(output)
    _give(record, read_table(settings, record), output, as_json=as_json)


def _refuse_flags(context: click.Context, allowed: set[str], beside: str) -> None:
    from harness.errors import HarnessError

    default = click.core.ParameterSource.DEFAULT
    for parameter in context.command.params:
        name = parameter.name or ""
        if name not in allowed and context.get_parameter_source(name) not in (None, default):
            raise HarnessError(
                f"{parameter.opts[0]} does not go with {beside}",
                remedy="leave it out" + ("; the study has its own, and --trials may grow" if allowed else ""),
            )


def _tune(flags: dict[str, Any]) -> None:
    """Begin a study, or go on with one."""
    from harness.aws.errors import aws_errors
    from harness.cli.tune_display import TuneDisplay
    from harness.settings import load_settings
    from harness.tune.begin import begin_study
    from harness.tune.folder import name_for, read_study, working_on
    from harness.tune.table import is_complete, read_table
    from harness.tune.tuning import run_study

    output = flags["output"].absolute() if flags["output"] else None
    _check_folder(output)
    settings = load_settings()
    given = job_event(flags)
    resumed = read_study(settings, flags["resume"]) if flags["resume"] is not None else None
    plan = resumed.plan if resumed else _plan(flags, given)
    name = resumed.name if resumed else flags["name"] or name_for(plan)
    data_named = errors_name_data({"--data": flags["data"]})
    with errors_name_flags(given), data_named, _in_folder(plan.folder), ExitStack() as held:
        folder = held.enter_context(working_on(settings, name))
        record, common = begin_study(settings, name, plan, flags["n_trials"], flags["max_workers"])
        table = read_table(settings, record)
        if not is_complete(table):
            with TuneDisplay() as view:
                settings = _with_limits(settings, common, plan.place)
                view.stage("starting the stack" if plan.place.target is None else "looking at the deployment")
                target = held.enter_context(_target(settings, plan.place, view))
                with aws_errors("the search"):
                    table = run_study(
                        record,
                        common,
                        settings,
                        target,
                        folder=folder,
                        at_once=flags["at_once"],
                        most_workers=flags["max_workers"],
                        view=view,
                    )
        _give(record, table, output, as_json=flags["as_json"])


def _plan(flags: dict[str, Any], given: dict[str, Any]) -> "StudyPlan":
    """Return what the command line asks for.

    Raises:
        HarnessError: A key is both fixed and searched, or a flag has no effect.
    """
    from harness.errors import HarnessError
    from harness.runs.prepared import read_event
    from harness.tune.records import StudyPlan, TrialPlace
    from harness.tune.resolution import USUAL_TRIALS
    from harness.tune.space import read_space

    space = read_space(flags["search"], flags["space_file"])
    for key in space:
        if key in given:
            raise HarnessError(
                f"{key} is both set for all trials and searched",
                f"--{key.replace('_', '-')} {given[key]} and the search space",
                "leave one of them out",
            )
    if flags["reduction"] is not None and not flags["halving"]:
        raise HarnessError("--reduction is part of --halving", remedy="add --halving, or leave --reduction out")
    if flags["target"] is not None and (flags["s3"] or flags["mode"]):
        raise HarnessError(
            f"--target {flags['target']} is what was deployed; it takes no --s3 and no --mode", remedy="leave them out"
        )
    from_file = read_event(flags["job_file"]) if flags["job_file"] else {}
    event = {**{key: value for key, value in from_file.items() if key not in space}, **given}
    return StudyPlan(
        folder=str(Path.cwd()),
        data=flags["data"],
        table=table_options_of(flags),
        missing_is_ours=flags["table_missing"] is None,
        event=event,
        space=space,
        metric=flags["metric"] or "loss",
        seed=int(event.get("seed", 0)) if isinstance(event.get("seed", 0), int) else 0,
        reduction=(flags["reduction"] or USUAL_REDUCTION) if flags["halving"] else None,
        halved_trials=(flags["n_trials"] or USUAL_TRIALS) if flags["halving"] else None,
        place=TrialPlace(
            s3=flags["s3"],
            mode=flags["mode"],
            target=flags["target"],
            stack=flags["stack"],
            region=flags["region"],
            expect_account=flags["expect_account"],
            timeout_s=flags["function_timeout"],
            memory_mb=flags["function_memory"],
        ),
    )


def _check_folder(output: Path | None) -> None:
    """Refuse a file in a folder that does not exist, before the search."""
    from harness.errors import HarnessError

    if output is not None and not output.parent.is_dir():
        raise HarnessError(f"the folder of --output {output} does not exist", remedy="make it first")


@contextmanager
def _in_folder(folder: str) -> "Iterator[None]":
    """Work in the folder in which the study was begun: its paths are relative to it."""
    from harness.errors import HarnessError

    if not Path(folder).is_dir():
        raise HarnessError("the folder in which the study was begun is gone", folder, "begin another study")
    with chdir(folder):
        yield


def _with_limits(settings: "Settings", common: "PreparedRun", place: "TrialPlace") -> "Settings":
    from harness.runs.worker import for_run, worker_function

    own = common.settings_of(settings)
    worker = worker_function(own, common.job)
    return for_run(own, worker, retry_time_scale=None, timeout_s=place.timeout_s, memory_mb=place.memory_mb)


@contextmanager
def _target(settings: "Settings", place: "TrialPlace", view: "TuneDisplay") -> "Iterator[RunTarget]":
    """Yield the deployment, the stack that is up, or one that is started for the length of the block."""
    from harness.aws.clients import clients_for
    from harness.cli.target_options import refuse_account_without_target, target_of
    from harness.deploy.run_target import deployed_run_target
    from harness.runs.run_target import stack_target
    from harness.stack import stack_for_run

    if place.target is not None:
        found = target_of(place.target, place.region, settings, place.expect_account)
        yield deployed_run_target(found, place.stack, view.note)
        return
    refuse_account_without_target(place.expect_account)
    with stack_for_run(settings, s3=place.s3, mode=place.mode, log=view.stage) as state:
        yield stack_target(state, clients_for(state.endpoints))


def _give(record: "StudyRecord", table: "StudyTable", output: Path | None, *, as_json: bool) -> None:
    """Print a study, and save the job of its best trial.

    Raises:
        HarnessError: All of its trials have failed.
    """
    import msgspec

    from harness.cli.tune_display import again_command, print_table
    from harness.errors import HarnessError
    from harness.tune.table import save_job

    if output is not None and table.best_job is not None:
        save_job(table.best_job, output)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(table)))
    else:
        print_table(table, again_command(record.plan, output) if output and table.best_job else "")
    if output is not None and table.best_job is None and not any(trial.state == "failed" for trial in table.trials):
        raise HarnessError(f"no trial of study {table.name} has finished, so there is no job for --output {output}")
    if table.best is None and (failed := [trial for trial in table.trials if trial.state == "failed"]):
        raise HarnessError(
            f"no trial has finished, and {len(failed)} of {table.n_trials} failed; the first: {failed[0].cause}",
            f"study {table.name}",
            "begin another study, with other values",
        )
