"""`harness predict`: the answers of a trained model for new rows."""

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from harness.cli._waiting import quiet_option, waiting
from harness.cli.data_options import reading_options, table_options_of, zero_based_option
from harness.cli.model_argument import named_model, source_option
from harness.cli.target_options import Where, place_options, results_of

if TYPE_CHECKING:
    from harness.runs.predict import Prediction
    from training.job_fields import ZeroBased


@click.command()
@click.argument("model", metavar="[RUN|MODEL.NPZ]", required=False)
@click.option(
    "--model-file", type=click.Path(path_type=Path, dir_okay=False), help="Use a model file that `harness run` saved."
)
@click.option(
    "--data", help="Predict this data: CSV, TSV, Parquet, NumPy or LIBSVM files, images, a folder, tables in S3."
)
@click.option(
    "--file",
    "data_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Score the rows of this LIBSVM, CIFAR-10 or npz file; the table then has the score of each label.",
)
@click.option("--proba", is_flag=True, help="With --data: write the probability of each label, too.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write to this file, as Parquet if its name ends in .parquet.  [default: CSV on standard output]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object; the rows go to --output.")
@quiet_option
@source_option
@reading_options
@zero_based_option
@place_options
def command(  # noqa: PLR0913 - keywords only, each an option
    *,
    model: str | None,
    model_file: Path | None,
    data: str | None,
    data_file: Path | None,
    proba: bool,
    output: Path | None,
    as_json: bool,
    zero_based: "ZeroBased",
    source: str | None,
    where: Where,
    **flags: object,
) -> None:
    """Predict the rows of --data with a model, and write a line for each: its number and its label.

    The model is a file, or that of a run: one that is kept, or on the stack that is up, or with --target in the
    deployment. The beginning of a run's id is enough, and `last` is the newest.
    Columns of tables are found by their names; labels are those of the training data.
    The accuracy, or the error of a regression, is printed on standard error where the data has labels.

    \b
    Example:
      harness predict 20261123-151538-367b1d --data new.csv --proba --output answers.parquet
      harness predict model.npz --data photos/
      harness predict model.npz --model my_model.py:Net --data new.csv
      harness predict 20261123-151538-367b1d --file test.xz --target aws
    """
    from harness.errors import HarnessError
    from harness.runs.predict import predict_file
    from harness.runs.predict_data import predict_data
    from harness.settings import load_settings
    from harness.system.console import notice

    if (model is None) == (model_file is None):
        raise HarnessError("name either a run or a --model-file", remedy="see `harness predict --help`")
    if (data is None) == (data_file is None):
        raise HarnessError("name the rows: either --data or --file", remedy="see `harness predict --help`")
    if proba and data is None:
        raise HarnessError("--proba needs --data", remedy="--file writes the score of each label already")
    if as_json and output is None:
        raise HarnessError("--json needs --output", remedy="the rows would be on standard output, too")
    options = table_options_of(flags)
    if data is None and options.given:
        raise HarnessError(f"{options.given[0]} is for tables", remedy="name the table with --data")
    with named_model(model_file or model or "", where, source) as (trained, _):
        # Rows that go to this terminal must not run into a spinner.
        shown = waiting("predicting") if output is not None or not sys.stdout.isatty() else nullcontext()
        with shown:
            if data_file is not None:
                prediction = predict_file(trained, data_file, output, zero_based=zero_based)
            else:
                detail: Literal["probabilities", "none"] = "probabilities" if proba else "none"
                prediction = predict_data(
                    trained,
                    data or "",
                    output,
                    options=options,
                    zero_based=zero_based,
                    detail=detail,
                    s3=lambda: results_of(
                        where.target, where.stack, where.region, load_settings(), where.expect_account
                    )[0],
                )
    if as_json:
        click.echo(json.dumps(_figures(prediction, output)))
        return
    for note in prediction.notes:
        notice(note)
    notice(_in_a_line(prediction))


def _figures(prediction: "Prediction", output: Path | None) -> dict[str, object]:
    return {
        "rows": prediction.rows,
        "accuracy": prediction.accuracy,
        "rmse": prediction.rmse,
        "notes": prediction.notes,
        "output": str(output),
    }


def _in_a_line(prediction: "Prediction") -> str:
    line = "1 row" if prediction.rows == 1 else f"{prediction.rows} rows"
    if prediction.accuracy is not None:
        line += f", accuracy {prediction.accuracy:.4f}"
    if prediction.rmse is not None:
        line += f", RMSE {prediction.rmse:.6g}"
    return line
