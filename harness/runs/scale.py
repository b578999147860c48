"""A warning about features of uneven or large scale, which the workers do not know: it follows from the manifest."""

from fixtures.partitions import Manifest
from training.algorithm.advice import constant_loss
from training.job import Job

# Standardised features let steps be larger by this factor, ...
MUCH_LARGER = 100
# ... and there is something to gain: more than this share of the best constant model's loss is left.
MUCH_LEFT = 0.5


def uneven_features(job: Job, manifest: Manifest | None, loss: float) -> dict[str, str] | None:
    """Return the warning of a run that has learnt little because of its features' scale; None for any other.

    Args:
        job: The job as it ran.
        manifest: What its data is; None for partitions that others made.
        loss: The last one.
    """
    if job.standardise or job.optim == "em" or manifest is None or manifest.labels is None:
        return None
    if manifest.moments is None or manifest.standardised_moments is None:
        return None
    factor = manifest.moments.largest / manifest.standardised_moments.largest
    if factor < MUCH_LARGER or loss <= MUCH_LEFT * constant_loss(job, [count.rows for count in manifest.labels]):
        return None
    message = (
        f"the features are of uneven or large scale: steps have to be some {factor:.0e} times smaller than on "
        f"standardised features, and training is slow; train with --standardise"
    )
    return {"code": "uneven_features", "message": message}
