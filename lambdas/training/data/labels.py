"""Class labels: the labels of a data set, and the class of each.

The labels of a data set, ascending, are its classes: class k is the k-th label.
All ranks must use the labels of all partitions together, since a rank may have no row of some class.
The coordinator imports this module and has no NumPy.
"""

import struct
from collections.abc import Sequence

from training.errors import InputError, JobError

# The largest number of classes of a job.
MOST_LABELS = 10_000
# Labels are float32, which represents every whole number up to this one.
LARGEST_LABEL = 1 << 24

_MOST_SHOWN = 6
_FLOAT32 = struct.Struct("<f")


def plain_label(label: float) -> int | float:
    """Return a label as an integer if it is one, else the shortest decimal of the same float32."""
    if float(label).is_integer():
        return int(label)
    shorter = (float(f"{label:.{digits}g}") for digits in range(1, 9))
    return next((number for number in shorter if _FLOAT32.pack(number) == _FLOAT32.pack(label)), label)


def format_label(label: float) -> str:
    """Return a label as text, as short as float32 allows."""
    return str(plain_label(label))


def format_labels(labels: Sequence[float]) -> str:
    """Return a list of labels as text, abbreviated after the first few."""
    shown = ", ".join(map(format_label, labels[:_MOST_SHOWN]))
    more = len(labels) - _MOST_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def too_many_labels(source: str) -> InputError:
    """Return the error for data with too many labels to be classes."""
    return InputError(
        f"{source}: has more than {MOST_LABELS} different labels; labels are classes\n"
        "for numbers as targets take model=linear or sparse_linear; k-means ignores labels"
    )


def classes_of(labels: Sequence[float], n_classes: int | None, source: str) -> list[float]:
    """Return the label of each class.

    Args:
        labels: All labels of the data, ascending.
        n_classes: The number of classes in the job; None for the number of labels. It may exceed the number of labels
            if all labels are among 0 to n_classes - 1.
        source: The name of the data in errors.

    Raises:
        InputError: The labels cannot be classes.
        JobError: There are more labels than classes, or the labels of the other classes are unknown.
    """
    for label in labels:
        _check_label(label, source)
    held = f"{source} has {len(labels)}: {format_labels(labels)}"
    if n_classes is None:
        if len(labels) == 1:
            raise InputError(
                f"{source}: all rows have the label {format_label(labels[0])}; a classification needs two\n"
                "if other classes are only missing here, number the classes from 0 and set n_classes"
            )
        if len(labels) > MOST_LABELS:
            raise too_many_labels(source)
        return list(labels)
    if n_classes < len(labels):
        raise JobError("n_classes", n_classes, f"at least the number of labels, or nothing; {held}")
    if n_classes == len(labels):
        return list(labels)
    if all(0 <= label < n_classes for label in labels):
        return list(map(float, range(n_classes)))
    if n_classes == 2 and labels[0] == -1:
        return [-1.0, 1.0]
    others = f"to have classes without rows, number the classes from 0 to {n_classes - 1}"
    if len(labels) == 1:
        only = format_label(labels[0])
        raise InputError(f"{source}: all rows have the label {only}, which is none of {n_classes} classes\n{others}")
    raise JobError("n_classes", n_classes, f"the number of labels, or nothing; {held}\n{others}")


def are_numbers(labels: Sequence[float]) -> bool:
    """Return whether each label equals the number of its class."""
    return list(labels) == list(range(len(labels)))


def _check_label(label: float, source: str) -> None:
    if not float(label).is_integer():
        raise InputError(
            f"{source}: label {format_label(label)} is not a whole number; labels are classes\n"
            "for numbers as targets take model=linear or sparse_linear; k-means ignores labels"
        )
    if abs(label) > LARGEST_LABEL:
        raise InputError(
            f"{source}: label {format_label(label)} is beyond {LARGEST_LABEL}, the largest that is exact in float32\n"
            "number the classes from 0"
        )
