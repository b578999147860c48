"""Early stopping: training ends when a metric has not improved for some epochs, with the model of the best epoch.

The metric is that of the validation rows if there are any, else of the training rows, where the loss is the objective.
It comes from an all-reduce, so all ranks have the same figures and stop after the same epoch.

Prechelt 1998, Early Stopping - But When?
"""

from training.algorithm.epochs import BestEpoch, EpochReport, Score
from training.job import Job
from training.model.base import Parameters

LARGER_IS_BETTER = frozenset({"accuracy", "auc", "precision", "recall", "f1", "r2"})


def best_of(job: Job, best: BestEpoch | None, report: EpochReport, parameters: Parameters) -> BestEpoch | None:
    """Return the best epoch so far; None for a job without patience.

    Args:
        job: The job.
        best: The best epoch before this one.
        report: The report of this epoch.
        parameters: The parameters at its end.
    """
    if job.patience == 0:
        return None
    figures = report.validation or report
    # Smaller is better.
    value = _metric(job.stop_metric, figures)
    if job.stop_metric in LARGER_IS_BETTER:
        value = -value
    if best is None or value < best.value - job.min_improvement:
        return BestEpoch(epoch=report.epoch, value=value, parameters=parameters)
    return best


def gave_up(job: Job, best: BestEpoch | None, report: EpochReport) -> bool:
    """Return whether patience has ended: no epoch since the best one was better by enough."""
    return best is not None and report.epoch - best.epoch >= job.patience


def _metric(name: str, figures: EpochReport | Score) -> float:
    if name == "loss":
        return figures.loss
    if name == "accuracy" and figures.accuracy is not None:
        return figures.accuracy
    return figures.metrics[name]
