"""Write a trained model for another library: the file's name, and what its user should know."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.errors import HarnessError
from harness.export.linear_form import in_the_users_unit
from training.data.schema import Schema
from training.model.catalogue import row_of
from training.run.model_file import TrainedModel

Library = Literal["sklearn", "torch", "onnx"]

_ENDINGS = {"sklearn": ".skops", "torch": ".pt", "onnx": ".onnx"}
_MOST_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        files: The files.
        notes: What their user should know, one line each.
    """

    files: list[Path]
    notes: list[str]


def export(trained: TrainedModel, library: Library, output: Path | None, *, name: str) -> Exported:
    """Write a model for a library.

    Args:
        trained: The model.
        library: The library.
        output: The file; None for one in the current folder, named after the model.
        name: The run or the file that the model comes from.

    Raises:
        HarnessError: The library has no such model, or the file cannot be written.
    """
    path = output or Path(Path(name).name.removesuffix(".npz") + _ENDINGS[library])
    if not path.parent.is_dir():
        raise HarnessError("there is no such folder", str(path.parent), "create it, or name another with --output")
    try:
        files = _write(in_the_users_unit(trained), library, path, name)
    except OSError as error:
        raise HarnessError(f"the model cannot be written: {error.strerror or error}", str(path)) from error
    return Exported(files, _notes(trained, library))


def _write(trained: TrainedModel, library: Library, path: Path, name: str) -> list[Path]:
    """Write the files; the library's module is imported only here, because each takes seconds."""
    if library == "sklearn":
        from harness.export import to_sklearn  # noqa: PLC0415

        to_sklearn.write(trained, path)
        return [path]
    if library == "onnx":
        from harness.export import to_onnx  # noqa: PLC0415

        to_onnx.write(trained, path)
        return [path]
    from harness.export import to_torch  # noqa: PLC0415

    return to_torch.write(trained, path, f"{row_of(trained.model).title} of {Path(name).name}")


def _notes(trained: TrainedModel, library: Library) -> list[str]:
    """Return what the file expects of its rows."""
    notes = [f"rows: {_rows(trained)}"]
    if trained.scaling is not None and row_of(trained.model).own and library == "torch":
        notes.append("the module takes standardised rows, (row - mean) / scale: both are in the JSON file")
    elif trained.scaling is not None:
        notes.append("the rows' standardisation is part of the model")
    if library == "sklearn" and row_of(trained.model).is_clustering:
        notes.append("scikit-learn's KMeans takes rows of float64 only")
    return notes


def _rows(trained: TrainedModel) -> str:
    if trained.data_type == "cifar10":
        return "images as 3072 bytes: the red, green and blue of 32 x 32 pixels each"
    if trained.schema is None or not trained.schema.columns:
        return f"{trained.n_features} features"
    return f"{trained.n_features} features: {_features(trained.schema)}"


def _features(schema: Schema) -> str:
    names = schema.features
    more = len(names) - _MOST_SHOWN
    listed = ", ".join(names[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
    encoded = [column.name for column in schema.columns if column.kind in {"one_hot", "ordinal"}]
    if not encoded:
        return listed
    return f"{listed}; encode {', '.join(encoded[:_MOST_SHOWN])} first, as the model's schema says"
