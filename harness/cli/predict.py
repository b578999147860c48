"""`harness predict`: scores new rows with a trained model."""

import sys
from pathlib import Path

import click


@click.command()
@click.argument("run_id", required=False)
@click.option("--model-file", type=click.Path(path_type=Path, dir_okay=False), help="A model that `harness run` saved.")
@click.option(
    "--file",
    "data_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    help="Rows of the kind that the model was trained on; plain, .xz, .gz or .bz2.",
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Where to write; standard output by default."
)
def command(*, run_id: str | None, model_file: Path | None, data_file: Path, output: Path | None) -> None:
    r"""Scores the rows of a file with the model of run RUN_ID, or of --model-file, and writes CSV.

    The accuracy against the file's labels goes to standard error.

    \b
    Example:
      harness predict 20261123-151538-367b1d --file test.xz --output predictions.csv
    """
    from harness.errors import HarnessError
    from harness.runs.clients import clients_for
    from harness.runs.predict import model_of_file, model_of_run, predict_file, write_predictions
    from harness.settings import load_settings
    from harness.stack import shared_stack

    if (run_id is None) == (model_file is None):
        raise HarnessError("name either a run or a --model-file", remedy="see `harness predict --help`")
    if model_file is not None:
        model = model_of_file(model_file)
    else:
        stack = shared_stack(load_settings())
        if stack is None:
            raise HarnessError("no stack is up", remedy="run `harness up` first, or name a --model-file")
        model = model_of_run(clients_for(stack.endpoints).s3, run_id or "")
    predictions = predict_file(model, data_file)
    if output is None:
        write_predictions(predictions, sys.stdout)
    else:
        try:
            with output.open("w", newline="") as table:
                write_predictions(predictions, table)
        except OSError as error:
            raise HarnessError(f"the predictions cannot be written: {error.strerror}", str(output)) from error
    if predictions.accuracy is not None:
        click.echo(f"{len(predictions.classes)} rows, accuracy {predictions.accuracy:.4f}", err=True)
