"""Trained models in a user's own program: `harness.load_model`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.bundle import BUNDLE, make_training_importable
from harness.errors import HarnessError

if TYPE_CHECKING:
    from training.prediction import LoadedModel


def load_model(path: str | Path, own: str | None = None) -> "LoadedModel":
    """Load a model that `harness run --model-file` saved; `predict` and `predict_proba` answer with your labels.

    The library `training` that ships with the harness becomes importable, before any other package of that name.

    Args:
        path: The file.
        own: For a model of your own, its name as `my_model:Net`, which is imported.

    Raises:
        HarnessError: The file cannot be read, or this process has imported another module named `training`.
        training.errors.InputError: The file is no model, one of a newer version, or a model of your own that `own`
            does not name.
    """
    _refuse_another_training()
    make_training_importable()
    from training.prediction import load_model as load  # noqa: PLC0415 - importable only now

    try:
        return load(path, own)
    except OSError as error:
        raise HarnessError(f"the model cannot be read: {error.strerror or error}", str(path)) from error


def _refuse_another_training() -> None:
    """Refuse a process whose `training` is the user's.

    Raises:
        HarnessError: It is.
    """
    found = sys.modules.get("training")
    file = getattr(found, "__file__", None)
    if found is not None and (file is None or not Path(file).resolve().is_relative_to(BUNDLE)):
        raise HarnessError(
            "this program has imported another module named `training`, which the model's library is named too",
            str(file or found),
            "rename that module, or export the model: see `harness export`",
        )
