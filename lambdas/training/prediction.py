"""Predictions in Python: a trained model that answers with the user's labels.

    model = load_model("model.npz")
    model.predict([[5.1, 3.5, 1.4, 0.2]])           an array of labels
    model.predict({"length": [5.1], "width": [3.5]})    by column names, for data that had them

Importing this module needs neither NumPy nor PyTorch; loading a model needs NumPy, and a neural network PyTorch.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from training.model.base import Model, Rows
    from training.run.model_file import TrainedModel


def load_model(path: str | Path, own: str | None = None) -> "LoadedModel":
    """Load a model from a `model.npz` that a run stored, or from a copy of it.

    Args:
        path: The file.
        own: For a model of your own, its name as `my_model:Net`, which is imported. A file alone imports nothing.

    Raises:
        InputError: It is no model, one of a newer version, or a model of your own that `own` does not name.
        OSError: It cannot be read.
    """
    from training.model.catalogue import row_of  # noqa: PLC0415 - as below
    from training.run.model_file import decode_model  # noqa: PLC0415 - it needs NumPy

    trained = decode_model(Path(path).read_bytes(), str(path))
    if row_of(trained.model).own and trained.model != own:
        raise InputError(
            f"{path} holds parameters of {trained.model}, a model of your own\n"
            f"if you trust it, load_model(path, own={trained.model!r}) imports it"
        )
    return LoadedModel(trained)


class LoadedModel:
    """A trained model that predicts rows in memory.

    Rows are an array or lists, (rows, features), as the training data had them: numbers, with NaN for missing ones;
    images are bytes, (rows, 3072) in CIFAR's order or (rows, 32, 32, 3).
    Where the data had column names, rows may also be a mapping from these names to values, or a data frame.

    Args:
        trained: The model with everything that a prediction needs.
    """

    def __init__(self, trained: "TrainedModel") -> None:
        self.trained = trained
        self._made: Model | None = None

    def __repr__(self) -> str:
        answers = f", {len(self.labels)} labels" if self.labels else ""
        return f"<{self.trained.model}: {self.trained.n_features} features{answers}>"

    @property
    def labels(self) -> list[str | int | float]:
        """The label of each class, or the number of each cluster; empty for a regression."""
        return [] if self.trained.is_regression else self.trained.answers

    @property
    def features(self) -> list[str]:
        """The names of the features; empty where the data had none."""
        return self.trained.schema.features if self.trained.schema else []

    def predict(self, x: Any) -> "NDArray[Any]":  # noqa: ANN401 - see the class
        """Return the label, the cluster or the number that is predicted for each row, (rows,).

        Raises:
            InputError: The rows are not of the kind that the model was trained on.
        """
        import numpy as np  # noqa: PLC0415

        classes, scores = self._predicted(x)
        if self.trained.is_regression and scores is not None:
            return scores[:, 0]
        return np.array(self.labels)[classes]

    def predict_proba(self, x: Any) -> "NDArray[np.float32]":  # noqa: ANN401
        """Return the probability of each label, (rows, labels), in the order of `labels`.

        Raises:
            InputError: The model has no probabilities, or the rows are not of its kind.
        """
        if not self.trained.has_probabilities:
            raise InputError(f"model {self.trained.model} has no probabilities; `scores` returns what it has")
        return self._scores(*self._predicted(x))

    def scores(self, x: Any) -> "NDArray[np.float32]":  # noqa: ANN401
        """Return the score of each label, (rows, labels): probabilities, or margins of a support vector machine.

        Raises:
            InputError: A clustering has no scores, or the rows are not of the model's kind.
        """
        return self._scores(*self._predicted(x))

    def _scores(self, _: "NDArray[np.int64]", scores: "NDArray[np.float32] | None") -> "NDArray[np.float32]":
        if scores is None:
            raise InputError(f"model {self.trained.model} has no scores; `predict` returns the cluster of each row")
        return scores

    def _predicted(self, x: Any) -> "tuple[NDArray[np.int64], NDArray[np.float32] | None]":  # noqa: ANN401
        if self._made is None and not self.trained.is_clustering:
            self._made = self.trained.made()
        return self.trained.predict(self._rows(x), self._made)

    def _rows(self, x: Any) -> "Rows":  # noqa: ANN401
        table = _named_columns(x)
        if table is not None:
            return self._encoded(table)
        if hasattr(x, "tocsr"):
            return self._checked(x.tocsr())
        return self._array(x)

    def _encoded(self, table: Mapping[str, Any]) -> "Rows":
        from training.data.columns import encode_columns  # noqa: PLC0415 - it needs NumPy

        schema = self.trained.schema
        if schema is None or not schema.columns:
            raise InputError(
                f"the model's data had no column names; give an array of {self.trained.n_features} features per row"
            )
        x, notes = encode_columns(table, schema)
        for note in notes:
            warnings.warn(note, stacklevel=5)  # the line that called one of the three methods above
        return x

    def _array(self, x: Any) -> "Rows":  # noqa: ANN401
        import numpy as np  # noqa: PLC0415

        from training.data.columns import fill_missing  # noqa: PLC0415

        images = self.trained.data_type == "cifar10"
        try:
            rows = np.asarray(x, np.uint8 if images and not isinstance(x, np.ndarray) else None)
            if images and rows.dtype == np.uint8 and rows.shape[1:] == (32, 32, 3):
                rows = rows.transpose(0, 3, 1, 2).reshape(len(rows), -1)
            elif not images:
                rows = rows.astype(np.float32)
        except (ValueError, TypeError, OverflowError) as error:
            by_name = "\ngive columns by their names, as a dict or a data frame: text is then encoded as in training"
            kind, remedy = ("images", "") if images else ("numbers", by_name if self.features else "")
            raise InputError(f"the rows are no {kind}: {error}{remedy}") from error
        if images and rows.dtype != np.uint8:
            raise InputError(f"images are bytes (uint8); these are {rows.dtype}")
        rows = self._checked(rows)
        return rows if images else fill_missing(rows, self.trained.schema)

    def _checked(self, rows: "Rows") -> "Rows":
        width = self.trained.n_features
        if rows.ndim != 2 or rows.shape[1] != width:
            names = self.features
            listed = "" if not names or len(names) > 12 else f"\nthe features: {', '.join(names)}"
            shape = " x ".join(map(str, rows.shape))
            raise InputError(f"the model takes rows of {width} features, (rows, {width}); got {shape}{listed}")
        return rows


def _named_columns(x: Any) -> Mapping[str, Any] | None:  # noqa: ANN401
    """Return the columns of a mapping or of a data frame by their names; None for anything else."""
    if isinstance(x, Mapping):
        return x
    if hasattr(x, "columns") and hasattr(x, "__getitem__"):
        return {str(name): x[name] for name in x.columns}
    return None
