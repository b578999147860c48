"""A warning about features of uneven or large scale; it needs the manifest, which the workers do not have."""

from harness.datasets.partitions import Manifest
from training.algorithm.advice import constant_loss
from training.job import Job

# Warn if standardised features allow steps that are larger by this factor, ...
MUCH_LARGER = 100
# ... and the loss is still above this share of the best constant model's.
MUCH_LEFT = 0.5


def uneven_features(job: Job, manifest: Manifest | None, loss: float) -> dict[str, str] | None:
    """Return a warning if a run has learnt little because of its features' scale, else None.

    Args:
        job: The job.
        manifest: The manifest of its data; None for partitions that the harness did not make.
        loss: The final loss.
    """
    if job.standardise or job.optim == "em" or manifest is None:
        return None
    constant = _constant_loss(job, manifest)
    if manifest.moments is None or manifest.standardised_moments is None:
        return None
    factor = manifest.moments.largest / manifest.standardised_moments.largest
    if factor < MUCH_LARGER or constant is None or loss <= MUCH_LEFT * constant:
        return None
    message = (
        f"the features are of uneven or large scale: steps have to be some {factor:.0e} times smaller than on "
        f"standardised features, and training is slow; train with --standardise"
    )
    return {"code": "uneven_features", "message": message}


def _constant_loss(job: Job, manifest: Manifest) -> float | None:
    """Return the loss of the best constant model; None where the manifest does not tell."""
    if job.task == "regression":
        # Of targets of variance 1; a Poisson loss depends on their distribution.
        return 0.5 if job.loss_kind == "squared" else None
    return None if manifest.labels is None else constant_loss(job, [count.rows for count in manifest.labels])
