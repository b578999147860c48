"""`harness calibrate`: measure a deployment's own figures, and compare what was predicted with what a run took."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from harness.cli._waiting import quiet_option, waiting
from harness.cli.target_options import Where, check_somebody_answers, place_options, target_of

if TYPE_CHECKING:
    from harness.calibrate.calibration import CalibrationOutcome
    from harness.calibrate.prediction import PredictedRun
    from harness.presets.distribution import Value
    from harness.settings import Settings

# Flags that measure nothing, and those that have no meaning beside them.
_MEASURES_NOTHING = {
    "against": {"n_starts", "limits", "save", "clean_up"},
    "clean_up": {"n_starts", "limits", "save", "as_json"},
}


@click.command()
@click.option(
    "--n-starts",
    type=click.IntRange(2, 200),
    default=10,
    show_default=True,
    help="Start so many environments at once, to see how a fan-out takes.",
)
@click.option(
    "--limits",
    is_flag=True,
    help="Also look for the limit of requests a second to one prefix of S3, for some ten times the money.",
)
@click.option(
    "--save", "save", type=click.Path(path_type=Path, dir_okay=False), help="Save the preset to this file as well."
)
@click.option(
    "--against",
    metavar="RUN",
    help="Measure nothing: print what the newest calibration before RUN predicted of it, beside what RUN took.",
)
@click.option("--clean-up", is_flag=True, help="Only remove what a calibration that was killed has left.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
@quiet_option
@place_options
def command(
    *,
    n_starts: int,
    limits: bool,
    save: Path | None,
    against: str | None,
    clean_up: bool,
    yes: bool,
    as_json: bool,
    where: Where,
) -> None:
    """Measure starts, the cache, S3, bandwidth and processor of a deployment, and write them as a preset.

    A function of the worker's own image does so for some minutes, and is removed afterwards. On AWS this costs about
    a cent; the command says how much, and asks. The deployment must be idle.
    The newest calibration of a deployment is what `harness forecast --preset` is best given.

    \b
    Example:
      harness calibrate --target rehearsal
      harness calibrate --target aws --region eu-central-1 --save mine.toml
      harness run --target aws --n-workers 8
      harness calibrate --target aws --against last
    """
    from harness.calibrate.calibration import calibrate, remove_left
    from harness.calibrate.plan import CalibrationPlan
    from harness.errors import HarnessError
    from harness.settings import load_settings

    _refuse_ignored()
    if where.target is None:
        raise HarnessError(
            "--target is missing", "a stack without a deployment is this machine", "name aws or rehearsal"
        )
    _check_folder(save)
    settings = load_settings()
    if against is not None:
        _tell_prediction(against, where, settings, as_json=as_json)
        return
    ask = where.target == "aws" and not yes
    if ask and not clean_up:
        check_somebody_answers()

    def agree(usd: float) -> bool:
        cost = f"about {_usd(usd)} USD, beside what the deployment costs"
        if where.target == "rehearsal":
            log(f"a rehearsal costs nothing; on AWS: {cost}")
            return True
        with log.paused():
            click.echo(f"this calibration costs {cost}", err=True)
            return not ask or click.confirm("Measure?", err=True)

    with waiting(f"calibrating {where.stack}") as log:
        target = target_of(where.target, where.region, settings, where.expect_account)
        if clean_up:
            remove_left(target, where.stack, settings, log)
            return
        plan = CalibrationPlan(n_starts=n_starts, limits=limits)
        outcome = calibrate(target, where.stack, settings, plan, log=log, agree=agree)
    if outcome is None:
        click.echo("nothing was measured")
        return
    if save is not None:
        _save(outcome.path, save)
    if as_json:
        click.echo(_json(outcome, save or outcome.path))
    else:
        _tell(outcome, save or outcome.path)


def _refuse_ignored() -> None:
    """Refuse flags of a measurement beside a flag that measures nothing: they would be ignored.

    Raises:
        click.UsageError: One of them was given.
    """
    context = click.get_current_context()
    flags = {option.name: option.opts[0] for option in context.command.params}
    given = {name for name in flags if name and context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    for name, others in _MEASURES_NOTHING.items():
        ignored = sorted(given & others) if name in given else []
        if ignored:
            raise click.UsageError(f"{flags[name]} measures nothing: leave out {flags[ignored[0]]}")


def _tell_prediction(name: str, where: Where, settings: "Settings", *, as_json: bool) -> None:
    from harness.calibrate.prediction import predict
    from harness.cli._table import TableColumn, figures, print_table
    from harness.deploy.target import aws_target
    from harness.history.folder import find_run, history_root
    from harness.presets.prices import DEFAULT_REGION

    kind = where.target or ""
    # Runs and calibrations are kept, so that neither the account nor the emulation is asked.
    region = aws_target(where.region).region if kind == "aws" else DEFAULT_REGION
    run = find_run(history_root(settings), name)
    found = predict(run, settings, kind=kind, stack=where.stack, region=region)
    if as_json:
        click.echo(_json_of(found))
        return
    rows = [
        (
            part.name,
            "" if part.p10 is None else f"{part.p10:.4g}",
            f"{part.p50:.4g}",
            "" if part.p90 is None else f"{part.p90:.4g}",
            f"{part.measured:.4g}",
            f"{100 * part.off:+.0f} %",
        )
        for part in found.parts
    ]
    print_table([TableColumn(found.run_id), *figures("p10", "p50", "p90", "measured", "off")], rows)
    click.echo(
        "start, load, total in s, round in ms, cost in USD (functions only); predicted from what was known before"
    )
    click.echo(f"calibration: {found.calibration}")
    if found.measured_in == found.run_id:
        click.echo("rows, bytes and processor time are the run's own: no older run of the same job is kept")
    else:
        click.echo(f"rows, bytes and processor time: run {found.measured_in}")


def _json_of(found: "PredictedRun") -> str:
    import msgspec

    return msgspec.json.encode(found, enc_hook=str).decode()


def _check_folder(save: Path | None) -> None:
    from harness.errors import HarnessError

    if save is not None and not save.absolute().parent.is_dir():
        raise HarnessError(f"--save {save}: there is no folder {save.absolute().parent}", remedy="make it first")


def _save(path: Path, copy: Path) -> None:
    from harness.errors import HarnessError

    try:
        copy.write_bytes(path.read_bytes())
    except OSError as error:
        raise HarnessError(f"the preset cannot be saved: {error.strerror}", str(copy), f"it is kept: {path}") from error


def _json(outcome: "CalibrationOutcome", path: Path) -> str:
    import msgspec

    found = outcome.calibrated
    return msgspec.json.encode(
        {
            "preset": str(path),
            "base": outcome.base.name,
            "figures": found.figures,
            "unseen": found.unseen,
            "gflops": {str(memory): rate for memory, rate in found.gflops.items()},
            "zones": found.zones,
            "usd": outcome.usd,
            "expected_usd": outcome.expected_usd,
        }
    ).decode()


def _tell(outcome: "CalibrationOutcome", path: Path) -> None:
    from harness.cli._table import TableColumn, figures, print_table
    from harness.presets.figures import FIGURES

    found, base = outcome.calibrated, outcome.base
    rows = [
        (name, FIGURES[name].unit, _value(base.value(name)), _value(one.value), str(one.samples))
        for name, one in found.figures.items()
    ]
    columns = [TableColumn("figure"), TableColumn("unit"), TableColumn(base.name, folds=True)]
    print_table([*columns, TableColumn("measured", folds=True), *figures("samples")], rows)
    if found.gflops:
        # A function has a virtual CPU for each 1,769 MB, and the forecast counts on that.
        first = next(iter(found.gflops))
        shares = [
            f"{memory} MB {rate:.1f} GFLOP/s ({rate / found.gflops[first]:.2f} x, by memory {memory / first:.2f} x)"
            for memory, rate in found.gflops.items()
        ]
        click.echo("processor: " + ", ".join(shares))
    for name, why in found.unseen.items():
        click.echo(f"{name}: as in {base.name}: {why}")
    click.echo(
        f"on AWS: {_usd(outcome.usd)} USD for the functions; expected with S3's requests: {_usd(outcome.expected_usd)}"
    )
    click.echo(f"preset: {path}")
    click.echo(f"next: harness forecast RUN --preset {path}")
    click.echo(f"after the next run: harness calibrate --target {outcome.kind} --against last")


def _value(value: "Value") -> str:
    """Return a figure's value in few words."""
    from harness.presets.distribution import ByCount, Constant

    if isinstance(value, Constant):
        return f"{value.value:g}"
    if isinstance(value, ByCount):
        return ", ".join(f"{count}: {number:g}" for count, number in zip(value.counts, value.values, strict=True))
    return f"p50 {value.quantile(0.5):.4g}, p99 {value.quantile(0.99):.4g}"


def _usd(usd: float) -> str:
    return f"{usd:.4f}"
