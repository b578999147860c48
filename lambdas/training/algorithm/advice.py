"""Warnings about a training that ended well and has learnt little, each with what to change.

The zero model is the one that knows nothing: all its scores are zero. Its mean loss is

    logistic regression and neural networks     log(classes)
    support vector machines                     1, or one per class where it is one against the rest
"""

import math
from collections.abc import Sequence

from training.algorithm.epochs import Advice, EpochReport
from training.job import Job

# A loss that falls by more than this share in the last epoch has not arrived ...
STILL_FALLING = 0.05
# ... unless the fall is below this share of the zero model's loss: then there is little left to gain.
WORTHWHILE = 0.01
# A loss above the best one by more than this share of the zero model's loss has risen; less is the noise of batches.
RISEN = 0.02


def advise(job: Job, epochs: Sequence[EpochReport], class_rows: Sequence[int]) -> list[Advice]:
    """Return what the figures of a finished training say; all ranks see the same.

    Args:
        job: The job.
        epochs: Its reports.
        class_rows: Training rows of each class, over all ranks.
    """
    zero = zero_loss(job, len(class_rows))
    return [*_of_the_loss(job, epochs, zero), *_of_the_predictions(job, epochs[-1], class_rows, zero)]


def zero_loss(job: Job, n_classes: int) -> float:
    """Return the mean loss of the zero model."""
    if job.model.endswith("svm"):
        return 1.0 if n_classes == 2 else float(n_classes)
    return math.log(n_classes)


def _of_the_loss(job: Job, epochs: Sequence[EpochReport], zero: float) -> list[Advice]:
    last = epochs[-1].loss
    best = min(epochs, key=lambda report: report.loss)
    unit, key, planned = ("round", "n_admm_epochs", job.n_admm_epochs) if job.optim == "admm" else _of_epochs(job)
    found = []
    if last > zero:
        found.append(
            Advice(
                "loss_above_zero_model",
                f"the loss is {last:.4g}, and {zero:.4g} without any training: lower lr (now {job.lr:g}){_scale(job)}",
            )
        )
    if last - best.loss > RISEN * zero:
        found.append(
            Advice(
                "loss_rose",
                f"the loss rose from {best.loss:.4g} after {unit} {best.epoch} to {last:.4g}: "
                f"lower lr (now {job.lr:g}){_scale(job)}",
            )
        )
    # Training that stopped early has reached the threshold of the job, or its optimiser's tolerances.
    if 1 < len(epochs) == planned:
        fall = epochs[-2].loss - last
        if fall > STILL_FALLING * epochs[-2].loss and fall > WORTHWHILE * zero:
            found.append(
                Advice(
                    "loss_still_falls",
                    f"the loss still fell by {fall / epochs[-2].loss:.0%} in the last {unit}: "
                    f"raise {key} (now {planned}) or lr (now {job.lr:g})",
                )
            )
    return found


def _of_the_predictions(job: Job, last: EpochReport, class_rows: Sequence[int], zero: float) -> list[Advice]:
    present = sum(rows > 0 for rows in class_rows)
    if present < 2:
        return [Advice("one_class", "all training rows are of one class: there is nothing to tell apart")]
    change = f"lower lr (now {job.lr:g})" if last.loss > zero else f"raise n_epochs (now {job.n_epochs})"
    if last.predicted_classes == 1:
        message = f"the model predicts the same class for every training row: {change}{_scale(job)}"
        return [Advice("constant_prediction", message)]
    most_frequent = max(class_rows) / sum(class_rows)
    if last.accuracy is not None and last.accuracy <= most_frequent:
        message = (
            f"the accuracy of {last.accuracy:.4f} is no better than predicting the most frequent class "
            f"({most_frequent:.4f}): {change}{_scale(job)}"
        )
        return [Advice("accuracy_of_majority", message)]
    return []


def _of_epochs(job: Job) -> tuple[str, str, int]:
    return "epoch", "n_epochs", job.n_epochs


def _scale(job: Job) -> str:
    return "" if job.standardise or job.data_type != "dense_libsvm" else ", or standardise the features"
