"""`harness export`: write a trained model for another library."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli._waiting import quiet_option, waiting
from harness.cli.model_argument import named_model, source_option
from harness.cli.target_options import Where, place_options

if TYPE_CHECKING:
    from harness.export.writing import Library


@click.command()
@click.argument("model", metavar="RUN|MODEL.NPZ")
@click.option("--to", "library", type=click.Choice(["sklearn", "torch", "onnx"]), required=True, help="The library.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write to this file.  [default: the model's name, with .skops, .pt or .onnx]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the files and the notes as one JSON object.")
@quiet_option
@source_option
@place_options
def command(
    *,
    model: str,
    library: "Library",
    output: Path | None,
    as_json: bool,
    source: str | None,
    where: Where,
) -> None:
    """Write a trained model for scikit-learn, PyTorch or ONNX; loading it needs none of our code.

    The model is a file, or that of a run: one that is kept, or on the stack that is up, or with --target in the
    deployment. The beginning of a run's id is enough, and `last` is the newest.

    \b
    sklearn  an estimator, which skops.io.load reads
    torch    a state dict, which torch.load(weights_only=True) reads, and the source of its module beside it
    onnx     a graph from rows to labels and scores

    \b
    Example:
      harness export 20261123-151538-367b1d --to onnx
      harness export model.npz --to sklearn --output flowers.skops
    """
    from harness.export.writing import export
    from harness.stack.pytorch import ensure_pytorch
    from harness.system.console import notice

    with (
        named_model(model, where, source) as (trained, name),
        waiting(f"writing the model for {library}") as log,
    ):
        if library == "torch":
            ensure_pytorch(log)
        done = export(trained, library, output, name=name)
    if as_json:
        click.echo(json.dumps({"files": [str(path) for path in done.files], "notes": list(done.notes)}))
        return
    for path in done.files:
        click.echo(path)
    for note in done.notes:
        notice(note)
