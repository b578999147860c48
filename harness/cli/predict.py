"""`harness predict`: score new rows with a trained model."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from harness.cli.data_options import zero_based_option
from harness.cli.target_options import account_option, region_option, results_of, stack_option, target_option

if TYPE_CHECKING:
    from training.job import ZeroBased


@click.command()
@click.argument("run_id", required=False)
@click.option(
    "--model-file", type=click.Path(path_type=Path, dir_okay=False), help="Use a model file that `harness run` saved."
)
@click.option(
    "--file",
    "data_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    help="Score the rows of this file, in the format of the training data; plain or compressed.",
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.  [default: standard output]"
)
@zero_based_option
@target_option
@stack_option
@region_option
@account_option
def command(  # noqa: PLR0913 - keywords only, each an option
    *,
    run_id: str | None,
    model_file: Path | None,
    data_file: Path,
    output: Path | None,
    zero_based: "ZeroBased",
    target: Literal["aws", "rehearsal"] | None,
    stack: str,
    region: str | None,
    expect_account: str | None,
) -> None:
    """Score the rows of a file with the model of run RUN_ID, or with --model-file, and write CSV.

    The run is looked up on the stack that is up, or with --target in the deployment.
    The accuracy against the file's labels is printed on standard error.

    \b
    Example:
      harness predict 20261123-151538-367b1d --file test.xz --output predictions.csv
      harness predict 20261123-151538-367b1d --file test.xz --target aws
    """
    from harness.aws.errors import aws_errors
    from harness.errors import HarnessError
    from harness.runs.catalogue import bucket_of_run
    from harness.runs.predict import model_of_file, model_of_run, predict_file
    from harness.settings import load_settings
    from harness.stack.pytorch import ensure_pytorch
    from training.model.catalogue import MODELS

    if (run_id is None) == (model_file is None):
        raise HarnessError("name either a run or a --model-file", remedy="see `harness predict --help`")
    if model_file is not None:
        model = model_of_file(model_file)
    else:
        s3, buckets = results_of(target, stack, region, load_settings(), expect_account)
        with aws_errors("looking for the run"):
            bucket = bucket_of_run(s3, buckets, run_id or "")
        model = model_of_run(s3, bucket, run_id or "")
    if MODELS[model.model].needs_pytorch:
        ensure_pytorch(partial(click.echo, err=True))
    prediction = predict_file(model, data_file, output, zero_based=zero_based)
    for note in prediction.notes:
        click.echo(note, err=True)
    accuracy = "" if prediction.accuracy is None else f", accuracy {prediction.accuracy:.4f}"
    click.echo(f"{prediction.rows} rows{accuracy}", err=True)
