"""The worker: trains one partition together with its peers.

The event is `training.job.WorkerJob`; its `file` names this rank's partition.
An event with the key `probe` (`training.probe.event.Probe`) asks for measurements of this place instead.

    the event is delivered twice           the rank's lease decides; the duplicate returns without a result
    the worker dies and Lambda retries     the retry takes over the lease and continues from a peer or a checkpoint
    the worker runs low on time            all ranks stop after the same round, and each invokes itself again
    a retry cannot help                    the worker stops all ranks at once and passes its cause on
"""

import os
from typing import Any

from training.run.cold_start import ColdStart
from training.run.mapped_memory import share_one_arena

_cold_start = ColdStart()
share_one_arena()  # before NumPy starts threads

# A function has one virtual CPU per 1,769 MB, and more BLAS threads than CPUs only compete for them.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
_CPUS = max(1, int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769")) // 1769)
os.environ.setdefault("OPENBLAS_NUM_THREADS", str(_CPUS))

# NumPy reads the variable above when it is imported.
from training.errors import DuplicateDelivery  # noqa: E402
from training.exchange.exchange import Stopped  # noqa: E402
from training.job import WorkerJob, decode_worker_job  # noqa: E402
from training.probe.event import decode_probe, is_probe  # noqa: E402
from training.probe.probing import answer_probe  # noqa: E402
from training.run.failure import report_failure  # noqa: E402
from training.run.joining import lease_of  # noqa: E402
from training.run.next_link import invoke_next_link  # noqa: E402
from training.run.results import RunFolder, s3_client  # noqa: E402
from training.run.telemetry import Telemetry  # noqa: E402
from training.run.time_limit import TimeLimit  # noqa: E402
from training.session import run_session  # noqa: E402

_cold_start.done("imports")
_s3 = s3_client()
_cold_start.done("s3_client")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 - AWS's context has no type
    """Join the run, train, and store this rank's results.

    Raises:
        TrainingError: The job, its data, a peer or the channel failed. Its cause is stored under `failed/` first,
            and stops all ranks unless Lambda's next try may succeed.
    """
    if is_probe(event):
        return answer_probe(decode_probe(event), _s3, _cold_start.report_once())
    job = decode_worker_job(event, context.aws_request_id)
    telemetry = Telemetry(job.run_id, job.rank, 0, context.aws_request_id, _cold_start.report_once())
    folder = RunFolder(_s3, job.results, job.run_id)
    lease = lease_of(job)
    limit = TimeLimit(context, job, telemetry)
    try:
        run_session(job, _s3, lease, folder, telemetry, limit)
    except DuplicateDelivery as reason:
        lease.leave()
        telemetry.line("superfluous", cause=str(reason))
        return _answer(job, duplicate=True)
    except Stopped as stop:
        lease.leave()
        invoke_next_link(job, stop.round_number, folder, telemetry)
        return _answer(job, next_link=job.link + 1)
    except Exception as error:
        lease.leave()
        report_failure(job, error, lease.tries, folder, telemetry)
        raise
    lease.leave(done=True)
    telemetry.line("finished", seconds=telemetry.seconds)
    return _answer(job)


def _answer(job: WorkerJob, **more: object) -> dict[str, Any]:
    return {"statusCode": 200, "body": {"run_id": job.run_id, "rank": job.rank, **more}}
