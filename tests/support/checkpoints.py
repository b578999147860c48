"""The checkpoints of a run of two ranks."""

import msgspec

from training.job import WorkerJob
from training.run.checkpoint import RunCheckpoints

JOB = WorkerJob(
    data_bucket="bucket",
    n_features=3,
    n_workers=2,
    host="h",
    run_id="run",
    worker_index=0,
    file="0_2",
    result_bucket="bucket",
)


def checkpoints_of(folder, rank=0, notes=None, **job):
    """Return the checkpoints as a rank sees them; `notes` collects what is noted."""
    changed = msgspec.structs.replace(JOB, worker_index=rank, file=f"{rank}_2", **job)
    return RunCheckpoints(
        folder, changed, lambda event, **values: (notes if notes is not None else []).append((event, values))
    )
