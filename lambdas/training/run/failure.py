"""What a worker does with the error that ends it: it records the cause, and stops the run when a retry cannot help."""

import time
from contextlib import closing, suppress

from training.errors import ChannelError, ExchangeError, InputError, RunAborted, TrainingError, ValueTooLarge
from training.exchange.run_signals import abort_run
from training.job import WorkerJob
from training.run.invoking import InvokeError
from training.run.joining import connect
from training.run.results import RunFolder, StorageError
from training.run.telemetry import Telemetry

# Lambda retries an event twice. After the third try nobody continues this rank, so the others should not wait.
MOST_TRIES = 3


def report_failure(job: WorkerJob, error: Exception, tries: int, folder: RunFolder, telemetry: Telemetry) -> None:
    """Store the cause and the timings, and stop all ranks unless another try of this one may succeed.

    Args:
        job: This worker's job.
        error: The cause.
        tries: How often Lambda has tried this link, this time included.
        folder: The run's folder.
        telemetry: Reports the failure.
    """
    kind, cause = type(error).__name__, str(error) or type(error).__name__
    # A revived event is one more try than Lambda makes; those that follow have the last word.
    final = not may_pass(error) or (tries >= MOST_TRIES and not job.revival)
    telemetry.line("failed", kind=kind, cause=cause, final=final)
    if final and not isinstance(error, RunAborted):
        # The caller raises the cause itself; without the channel the peers reach their deadlines.
        with suppress(ChannelError), closing(connect(job)) as channel:
            abort_run(channel, job.run_id, f"rank {job.rank}: {cause}", job.tmp_bucket)
    record = {"rank": job.rank, "kind": kind, "cause": cause, "final": final, "time": time.time()}
    # What was out of memory may be so again.
    with suppress(StorageError, InputError, MemoryError):
        folder.write_json(f"failed/{job.rank}.{telemetry.attempt}.json", record)
        telemetry.store(folder)


def may_pass(error: Exception) -> bool:
    """Return whether another try may succeed, because the environment failed and not the job.

    The rows, the job, a peer's deadline and our own bugs are the same next time.
    """
    if isinstance(error, (ChannelError, StorageError, InvokeError)):
        return not isinstance(error, ValueTooLarge)
    return isinstance(error, (OSError, MemoryError)) and not isinstance(error, (TrainingError, ExchangeError))
