"""Rows to predict, with the features of a model: from every form of data, in blocks of bounded size.

LIBSVM text, CIFAR-10's binary format and arrays have features by their position, tables by the names of the model's
schema, and images by their pixels.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Dataset
from training.data.labels import MOST_LABELS, format_labels
from training.errors import InputError
from training.model.base import Rows
from training.run.model_file import TrainedModel

# The limit of a block of dense rows.
_BLOCK_BYTES = 16 << 20
_MOST_UNSEEN_SHOWN = 6
# The class of a row whose label the model does not know, and the target of a row that has none.
UNKNOWN = -1.0


class RowBlock(NamedTuple):
    """Rows with the model's features.

    Attributes:
        x: The rows.
        truth: float32 (rows,): the number of each row's class, `UNKNOWN` for a label that the model does not know, or
            its target; None where the data has no labels.
        numbers: The number of each row in the data, from 1.
        files: The file of each row, of images; None for others.
    """

    x: Rows
    truth: NDArray[np.float32] | None
    numbers: NDArray[np.int64]
    files: list[Path] | None = None


class RowSource(Protocol):
    """The rows of some data."""

    def blocks(self) -> Iterator[RowBlock]:
        """Yield the rows in order.

        Raises:
            InputError: The data cannot be read, or has not the model's columns.
        """

    def notes(self) -> list[str]:
        """Return what the user should know about the rows so far, one line each."""


class PlainRows:
    """Rows with features by position: LIBSVM text, images of CIFAR-10, arrays.

    Args:
        model: The model.
        rows: The rows, with labels as the data has them; rows of dense models may be sparse.
        name: The data's name for the user.
        from_0: Whether feature indices start at 0; None for rows without indices.
    """

    def __init__(self, model: TrainedModel, rows: Iterator[Dataset], name: str, *, from_0: bool | None) -> None:
        self._model, self._rows, self._name, self._from_0 = model, rows, name, from_0
        self._labels = np.array(model.class_labels, np.float32)
        self._done = self._known = 0
        self._unknown: set[float] = set()
        # One byte per index: a set of millions of numbers would take more memory than the rows.
        self._unseen = np.zeros(0, np.bool_)

    def blocks(self) -> Iterator[RowBlock]:
        """Yield the rows in order; see `RowSource`."""
        for block in self._narrowed():
            numbers = np.arange(self._done + 1, self._done + 1 + block.rows)
            self._done += block.rows
            yield RowBlock(block.x, self._truth(block.y), numbers)

    def notes(self) -> list[str]:
        """Return what the user should know; see `RowSource`."""
        notes = []
        indexed = self._from_0 is not None and self._model.data_type != "cifar10"
        if indexed and self._from_0 != self._model.zero_based:
            bases = ("0", "1") if self._from_0 else ("1", "0")
            notes.append(
                f"feature indices of {self._name} start at {bases[0]}, those of the training data at {bases[1]}: "
                f"{bases[0]} here is taken for {bases[1]} there"
            )
        unseen = np.flatnonzero(self._unseen) + (not self._from_0)
        if unseen.size:
            shown, more = ", ".join(map(str, unseen[:_MOST_UNSEEN_SHOWN].tolist())), unseen.size - _MOST_UNSEEN_SHOWN
            shown += f" and {more} more" if more > 0 else ""
            notes.append(f"{unseen.size} features that the model never saw are ignored: {shown}")
        unknown, known = format_labels(sorted(self._unknown)), format_labels(self._model.class_labels)
        if self._unknown and not self._known:
            notes.append(f"no accuracy: the labels of {self._name} ({unknown}) are none of the model's ({known})")
        elif self._unknown:
            notes.append(
                f"{self._done - self._known} of {self._done} rows have labels that are none of the model's ({known}): "
                f"{unknown}; the accuracy leaves them out"
            )
        return notes

    def _truth(self, y: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the number of each row's class, and note labels that the model does not know."""
        if self._model.is_regression or self._model.is_clustering:
            return y
        order = np.argsort(self._labels)
        places = np.minimum(np.searchsorted(self._labels, y, sorter=order), len(order) - 1)
        classes = order[places]
        known = self._labels[classes] == y
        self._known += int(known.sum())
        if not known.all() and len(self._unknown) <= MOST_LABELS:
            self._unknown.update(np.unique(y[~known]).tolist())
        return np.where(known, classes, UNKNOWN).astype(np.float32)

    def _note_unseen(self, width: int, columns: range | NDArray[np.int32]) -> None:
        if width > self._unseen.size:
            self._unseen = np.concatenate([self._unseen, np.zeros(width - self._unseen.size, np.bool_)])
        self._unseen[columns if isinstance(columns, np.ndarray) else slice(columns.start, columns.stop)] = True

    def _narrowed(self) -> Iterator[Dataset]:
        """Yield the rows with the model's columns; dense rows were read as sparse ones and become dense here."""
        width, dense = self._model.n_features, self._model.data_type == "dense_libsvm"
        for block in self._rows:
            x = block.x
            if x.shape[1] > width:
                unseen = range(width, x.shape[1]) if isinstance(x, np.ndarray) else x.indices[x.indices >= width]
                self._note_unseen(x.shape[1], unseen)
                x = x[:, :width]
            at_once = max(1, _BLOCK_BYTES // (4 * width)) if dense else max(1, block.rows)
            for first in range(0, block.rows, at_once):
                rows = x[first : first + at_once]
                if rows.shape[1] < width:
                    rows = _widened(rows, width)
                if dense and not isinstance(rows, np.ndarray):
                    rows = rows.toarray()
                yield Dataset(rows, block.y[first : first + at_once])


class ImageRows:
    """Images of a folder, or one image; the name of a subfolder is the label if the model has such a class.

    Args:
        model: The model.
        path: The folder or the file.

    Raises:
        InputError: The model takes no images, or the folder holds a file that is none.
    """

    def __init__(self, model: TrainedModel, path: Path) -> None:
        from harness.datasets.image_folder import list_images  # noqa: PLC0415 - for images alone

        if model.data_type != "cifar10":
            raise InputError(f"{path}: holds images, and model {model.model} was trained on {model.data_type}")
        self._listing, self._classes = list_images(path), model.answers
        if not self._listing.files:
            raise InputError(f"{path}: holds no images")

    def blocks(self) -> Iterator[RowBlock]:
        """Yield the images in order; see `RowSource`."""
        from harness.datasets.image_folder import read_images  # noqa: PLC0415 - as above

        numbers = {name: number for number, name in enumerate(self._classes)}
        done, files = 0, self._listing.files
        labelled = any(file.folder in numbers for file in files)
        for x in read_images(files):
            here = files[done : done + len(x)]
            truth = np.array([numbers.get(file.folder or "", UNKNOWN) for file in here], np.float32)
            yield RowBlock(
                x,
                truth if labelled else None,
                np.arange(done + 1, done + 1 + len(x)),
                [file.path for file in here],
            )
            done += len(x)

    def notes(self) -> list[str]:
        """Return what was skipped, and which subfolders are no classes; see `RowSource`."""
        unknown = [folder for folder in self._listing.folders if folder not in self._classes]
        return [*self._listing.notes, *_unknown_classes(unknown)]


def _unknown_classes(folders: Sequence[str]) -> list[str]:
    if not folders:
        return []
    shown, more = ", ".join(folders[:_MOST_UNSEEN_SHOWN]), len(folders) - _MOST_UNSEEN_SHOWN
    shown += f" and {more} more" if more > 0 else ""
    return [f"the accuracy leaves out subfolders that are none of the model's classes: {shown}"]


def _widened(x: Rows, width: int) -> Rows:
    """Append columns of zeros."""
    if isinstance(x, np.ndarray):
        return np.pad(x, ((0, 0), (0, width - x.shape[1])))
    from training.data.sparse import csr_rows  # noqa: PLC0415 - scipy is for sparse rows alone

    return csr_rows(x.data, x.indices, x.indptr, width)
