"""Warnings about a training that succeeded but learnt little, each with a change to try.

The zero model gives a score of zero to every class. Its mean loss is

    logistic regression and neural networks     log(classes)
    support vector machines                     1, or one per class where it is one against the rest

The best constant model knows only the share p of each class, and predicts the same for every row. Its mean loss is

    logistic regression and neural networks     the entropy of the shares
    support vector machines                     2 min(p, 1 - p), summed over the classes where there are more than two

A user's own model may have any loss: what it predicts is looked at, and how its loss changes.

With class weights, the shares are those of the weighted rows, and both losses are multiplied by a row's mean weight.
"""

import math
from collections.abc import Sequence

from training.algorithm.epochs import Advice, EpochReport
from training.class_weights import mean_weight, weights_of
from training.job import Job
from training.model.catalogue import row_of

# A loss that falls by more than this share in the last epoch has not converged ...
STILL_FALLING = 0.05
# ... unless the fall is below this share of the zero model's loss, because then there is little left to gain.
WORTHWHILE = 0.01
# A loss that exceeds the best one by more than this share of the zero model's loss has risen; less is batch noise.
RISEN = 0.02
# A loss above this share of the best constant model's is hardly better.
HARDLY_BETTER = 0.95
# A loss above this share means that nothing was learnt. On HIGGS a linear model gains 8 %, half of it at once.
NOTHING_LEARNT = 0.98
# A loss that changes by less than this share over the last tenth of at least so many epochs has converged.
CONVERGED, FEWEST_TO_CONVERGE = 0.001, 10
# If one class has at least this share, a constant prediction may be the best possible.
VERY_UNEVEN = 0.9


def advise(
    job: Job, epochs: Sequence[EpochReport], class_rows: Sequence[int], zero_loss_found: float | None = None
) -> list[Advice]:
    """Return the warnings for a finished training, the same on every rank.

    Args:
        job: The job.
        epochs: The reports of its epochs.
        class_rows: Training rows of each class, over all ranks; empty in a regression.
        zero_loss_found: Mean training loss of the zero model in a regression; None with classes.
    """
    if zero_loss_found is not None:
        return _of_a_regression(job, epochs, zero_loss_found)
    if row_of(job.model).own:
        return _of_an_own_model(job, epochs, class_rows)
    weights = weights_of(job.class_weights, class_rows) or [1.0] * len(class_rows)
    weighted_rows = [weight * rows for weight, rows in zip(weights, class_rows, strict=True)]
    scale = mean_weight(job.class_weights, class_rows)
    zero, constant = scale * zero_loss(job, len(class_rows)), scale * constant_loss(job, weighted_rows)
    found = _of_the_loss(job, epochs, zero)
    if sum(rows > 0 for rows in class_rows) < 2:
        return [*found, Advice("one_class", "all training rows are of one class: there is nothing to tell apart")]
    if epochs[-1].loss > HARDLY_BETTER * constant:
        found += _of_the_predictions(job, epochs, class_rows, zero)
    if not found and epochs[-1].loss > NOTHING_LEARNT * constant:
        message = (
            f"the loss is {epochs[-1].loss:.4g}, and {constant:.4g} for the same answer to every row: "
            f"{_change(job, epochs, rose=False)}, unless the features say so little about the classes"
        )
        found.append(Advice("hardly_learnt", message))
    return found


def _of_a_regression(job: Job, epochs: Sequence[EpochReport], zero: float) -> list[Advice]:
    """Return the warnings about a regression, whose zero model predicts the mean of the targets for every row."""
    constant = job.loss_kind != "poisson" and not row_of(job.model).own and zero == 0
    if constant:
        return [Advice("constant_target", "all training targets are equal: there is nothing to learn")]
    found = _of_the_loss(job, epochs, abs(zero))
    if not found and not row_of(job.model).own and zero - epochs[-1].loss < (1 - NOTHING_LEARNT) * abs(zero):
        message = (
            f"the loss is {epochs[-1].loss:.4g}, and {zero:.4g} where every row gets the mean target: "
            f"{_change(job, epochs, rose=False)}, unless the features say so little about the target"
        )
        found.append(Advice("constant_prediction", message))
    return found


def zero_loss(job: Job, n_classes: int) -> float:
    """Return the mean loss of the zero model."""
    if row_of(job.model).loss == "hinge":
        return 1.0 if n_classes == 2 else float(n_classes)
    return math.log(n_classes)


def constant_loss(job: Job, class_rows: Sequence[float]) -> float:
    """Return the mean loss of the best model that predicts the same for every row."""
    shares = [rows / sum(class_rows) for rows in class_rows if rows > 0]
    if row_of(job.model).loss != "hinge":
        return -sum(share * math.log(share) for share in shares)
    machines = shares[:1] if len(class_rows) == 2 else shares
    return sum(2 * min(share, 1 - share) for share in machines)


def _of_an_own_model(job: Job, epochs: Sequence[EpochReport], class_rows: Sequence[int]) -> list[Advice]:
    """Return the warnings about classes of a user's own model, whose loss is measured by the first epoch's."""
    scale = abs(epochs[0].loss)
    found = [advice for advice in _of_the_loss(job, epochs, scale) if advice.code != "loss_above_zero_model"]
    if sum(rows > 0 for rows in class_rows) < 2:
        return [*found, Advice("one_class", "all training rows are of one class: there is nothing to tell apart")]
    return found + _of_the_predictions(job, epochs, class_rows, scale)


def _of_the_loss(job: Job, epochs: Sequence[EpochReport], zero: float) -> list[Advice]:
    last = epochs[-1].loss
    best = min(epochs, key=lambda report: report.loss)
    unit, key, planned = _passes(job)
    found = []
    if last > zero:
        change = _change(job, epochs, rose=_rose(epochs, zero))
        message = f"the loss is {last:.4g}, and {zero:.4g} without any training: {change}"
        found.append(Advice("loss_above_zero_model", message))
    if last - best.loss > RISEN * zero:
        change = _change(job, epochs, rose=True)
        message = f"the loss rose from {best.loss:.4g} after {unit} {best.epoch} to {last:.4g}: {change}"
        found.append(Advice("loss_rose", message))
    # Training that stopped early reached the job's threshold or its optimiser's tolerances.
    if 1 < len(epochs) == planned:
        fall = epochs[-2].loss - last
        if fall > STILL_FALLING * epochs[-2].loss and fall > WORTHWHILE * zero:
            share = fall / epochs[-2].loss
            message = f"the loss still fell by {share:.0%} in the last {unit}: raise {key} (now {planned})"
            found.append(Advice("loss_still_falls", message))
    return found


def _of_the_predictions(
    job: Job, epochs: Sequence[EpochReport], class_rows: Sequence[int], zero: float
) -> list[Advice]:
    """Return the warnings about the predictions of a model hardly better than a constant one."""
    last = epochs[-1]
    change = _change(job, epochs, rose=_rose(epochs, zero))
    most_frequent = max(class_rows) / sum(class_rows)
    if most_frequent >= VERY_UNEVEN:
        remedy = "" if job.class_weights else ": class_weights=balanced lets all classes count alike"
        change += f"; the classes are very uneven, {most_frequent:.1%} of the rows are of one{remedy}"
    if last.predicted_classes == 1:
        return [Advice("constant_prediction", f"the model predicts the same class for every training row: {change}")]
    # Weighted classes cost accuracy on purpose.
    if last.accuracy is not None and last.accuracy <= most_frequent and not job.class_weights:
        message = (
            f"the accuracy of {last.accuracy:.4f} is no better than predicting the most frequent class "
            f"({most_frequent:.4f}): {change}"
        )
        return [Advice("accuracy_of_majority", message)]
    return []


def _rose(epochs: Sequence[EpochReport], zero: float) -> bool:
    """Return whether the loss is noticeably above the best epoch's or the zero model's loss."""
    return epochs[-1].loss - min(zero, *(report.loss for report in epochs)) > RISEN * zero


def _change(job: Job, epochs: Sequence[EpochReport], *, rose: bool) -> str:
    """Return the change to try: standardised features first, then a smaller step or more of them."""
    _, key, planned = _passes(job)
    if not rose and _has_converged(job, epochs):
        return "training has converged; add features, or train a model that is not linear, such as mlp"
    change = f"lower lr (now {job.lr:g})" if rose else f"raise {key} (now {planned})"
    return change if job.standardise or job.data_type != "dense_libsvm" else f"standardise the features, or {change}"


def _has_converged(job: Job, epochs: Sequence[EpochReport]) -> bool:
    """Return whether a linear model's loss was the same for the last tenth of a training whose rate fell to 0."""
    linear = "admm" in row_of(job.model).optimisers and not row_of(job.model).own
    if not linear or job.lr_schedule != "cosine" or len(epochs) < job.n_epochs or len(epochs) < FEWEST_TO_CONVERGE:
        return False
    before, last = epochs[-1 - len(epochs) // 10].loss, epochs[-1].loss
    return abs(before - last) <= CONVERGED * abs(last)


def _passes(job: Job) -> tuple[str, str, int]:
    """Return the unit of an epoch's report, the job's key for their number, and that number."""
    if job.optim == "admm":
        return "round", "n_admm_epochs", job.n_admm_epochs
    return "epoch", "n_epochs", job.n_epochs
