"""The next link: a worker that runs low on time invokes its own function, which continues from a checkpoint."""

import msgspec

from training.job import WorkerJob
from training.run.checkpoint import RunCheckpoints
from training.run.invoking import invoke_event, own_function
from training.run.results import RunFolder
from training.run.telemetry import Telemetry


def invoke_next_link(job: WorkerJob, round_number: int, folder: RunFolder, telemetry: Telemetry) -> None:
    """Invoke the next link once the checkpoint it continues from is published.

    If the checkpoint does not appear, the next link continues from an earlier one or from a rank that still trains.

    Args:
        job: This worker's job.
        round_number: The last round done.
        folder: The run's folder.
        telemetry: Reports the invocation.

    Raises:
        InvokeError: Lambda is not reachable or refuses the event.
        StorageError: S3 fails.
    """
    RunCheckpoints(folder, job, telemetry.line).wait_for(round_number)
    event = {**msgspec.to_builtins(job), "link": job.link + 1, "revival": 0, "stood_still": ""}
    request_id = invoke_event(own_function(), event)
    telemetry.line("handed_on", round=round_number, link=job.link + 1, next_request_id=request_id)
    record = {**telemetry.totals(), "link": job.link, "round": round_number, "next_request_id": request_id}
    folder.write_json(f"links/{job.rank}.{telemetry.attempt}.json", record)
    telemetry.store(folder)
