"""`harness model`: models of one's own."""

import sys
from typing import TYPE_CHECKING, Any

import click

from harness.cli._waiting import quiet_option, waiting
from harness.cli.data_options import table_options, table_options_of
from harness.cli.groups import SuggestingGroup

if TYPE_CHECKING:
    from harness.models.check import ModelReport

_MARKS = {"ok": "ok", "note": "note", "failed": "FAILED"}
# Of a model that is given images.
_PIXELS = 3 * 32 * 32


@click.group(cls=SuggestingGroup)
def command() -> None:
    """Check models of your own before they train.

    \b
    Example:
      harness model check my_model.py:Net --data table.csv
    """


@command.command("check")
@click.argument("model", metavar="FILE:NAME")
@click.option("--data", help="Check it on rows of this data set, as `harness run` takes it.  [default: random rows]")
@click.option("--rows", type=click.IntRange(6, 10_000), default=96, show_default=True, help="Rows to check it on.")
@click.option("--n-features", type=click.IntRange(1), help="Columns of random rows.  [default: 28]")
@click.option("--n-classes", type=click.IntRange(2, 10_000), help="Classes of random rows.  [default: 2]")
@click.option("--images", is_flag=True, help="Check it on random images, 3 x 32 x 32.")
@click.option(
    "--loss",
    type=click.Choice(["cross_entropy", "hinge", "squared", "huber", "poisson"]),
    help="Loss of the job, where the model has none of its own; a regression needs it.",
)
@click.option("--hidden-units", type=click.IntRange(1, 65_536), default=64, show_default=True, help="As in a job.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="As in a job.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@quiet_option
@table_options
def check(  # noqa: PLR0913 - one per option
    *,
    model: str,
    data: str | None,
    rows: int,
    n_features: int | None,
    n_classes: int | None,
    images: bool,
    loss: str | None,
    hidden_units: int,
    seed: int,
    as_json: bool,
    **flags: object,
) -> None:
    """Compare a model's gradient with its loss and one worker with three, and print what a round would send.

    FILE:NAME is a model of your own as `harness run --model` takes it, or the NAME of a table [models.NAME].
    It runs in a process of its own with the packages of its function. The exit code is 1 if a check fails.

    \b
    Example:
      harness model check my_model.py:Net
      harness model check my_model.py:Net --data table.csv --json
      harness model check my_model.py:Net --images --n-classes 10
    """
    import msgspec

    from harness.errors import HarnessError
    from harness.models.check import check_model
    from harness.models.rows import sample_rows
    from harness.settings import load_settings
    from training.model.loss_kinds import REGRESSION

    regression = loss in REGRESSION
    given = {"--n-features": n_features, "--n-classes": n_classes, "--images": images or None}
    known = [flag for flag, value in given.items() if value is not None]
    if data is not None and known:
        raise HarnessError(f"{known[0]} and --data exclude each other", remedy=f"leave {known[0]} out: --data tells it")
    if images and n_features not in (None, _PIXELS):
        raise HarnessError(f"--n-features {n_features} and --images exclude each other", remedy="leave one of them out")
    if regression and n_classes is not None:
        raise HarnessError(f"--n-classes and --loss {loss} exclude each other", remedy="leave --n-classes out")
    options = table_options_of(flags)
    if data is None and options.given:
        raise HarnessError(f"{options.given[0]} needs --data", remedy="name the table")
    ours = flags["table_missing"] is None
    sample = None if data is None else sample_rows(data, rows, options, regression=regression, missing_is_ours=ours)
    facts: dict[str, Any] = {
        "n_features": _PIXELS if images else n_features or 28,
        "n_classes": 1 if regression else n_classes or 2,
        "dataset_type": "cifar10" if images else "dense_libsvm",
        "hidden_units": hidden_units,
        "loss": loss,
        "seed": seed,
    }
    with waiting("checking the model") as log:
        report = check_model(model, load_settings(), facts, sample, rows, log=log)
    click.echo(msgspec.json.encode(report) if as_json else format_report(report))
    sys.exit(0 if report.ok else 1)


def format_report(report: "ModelReport") -> str:
    """Return the findings and sizes as text."""
    sizes = report.sizes
    lines = [f"{_MARKS[each.state]:<7}{each.name:<10}{each.message}" for each in report.findings]
    if sizes.bytes:
        parts = [f"{sizes.trained:,} parameters"]
        parts += [f"{sizes.averaged:,} numbers in buffers"] if sizes.averaged else []
        parts += [f"{sizes.frozen:,} frozen"] if sizes.frozen else []
        sent = ", ".join(f"{optim} {_size(size)}" for optim, size in sizes.round_bytes.items())
        lines += [
            "",
            f"sizes  {', '.join(parts)}; {_size(sizes.bytes)} in a model file",
            f"round  a worker's part: {sent}; half of it with exchange_dtype=float16",
        ]
        # A model whose first step failed has no time of one.
        lines += [f"step   {sizes.step_ms:g} ms on these rows; the check took {sizes.max_rss_mb} MB"] * bool(
            sizes.step_ms
        )
    return "\n".join(lines)


def _size(count: int) -> str:
    if count < 10_000:
        return f"{count:,} bytes"
    return f"{count / 1000:,.0f} KB" if count < 10_000_000 else f"{count / 1e6:,.0f} MB"
