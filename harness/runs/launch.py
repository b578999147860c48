"""A run from job to summary: data into S3, functions into Lambda, the coordinator invoked, the workers followed."""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from fixtures.datasets import BucketSpec, DataSpec, parse_data_spec
from fixtures.partitions import count_partitions
from harness.aws.clients import Clients
from harness.errors import HarnessError
from harness.faults import Plan
from harness.runs.data import Data, check_shape, prepare_data
from harness.runs.defaults import defaults_for, described
from harness.runs.faults import check_faults, fault_records, in_force, read_events
from harness.runs.follow import RETRY_DELAYS_S, follow
from harness.runs.functions import declared
from harness.runs.health import check_parts, deaths_named, restart_events
from harness.runs.log_lines import read_report
from harness.runs.log_tail import LogTail
from harness.runs.progress import Watcher
from harness.runs.records import damage_named
from harness.runs.run_target import RunTarget
from harness.runs.scale import uneven_features
from harness.runs.summary import Summary, summarise
from harness.settings import Settings
from harness.stack.pytorch import ensure_pytorch
from harness.stack.state import StackState
from training.errors import ChannelError, TrainingError
from training.exchange.channel.memcached import MemcachedChannel
from training.exchange.run_signals import abort_run
from training.job import Job, decode_job
from training.model.catalogue import MODELS, training_function
from training.run.results import RunFolder, get_object

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

COORDINATOR = "linear_ec_1"
# What is trained on when nothing is named, by what the model takes.
DEFAULT_DATA = {
    "dense_libsvm": "synthetic:rows=100000,features=28",
    "sparse_libsvm": "synthetic-sparse:rows=20242,features=47236,density=0.0016",
    "cifar10": "synthetic-images:rows=2000,classes=10",
}
RESULT_BUCKET = "lambda-harness-runs"
# The world size where neither the user nor the data names one.
DEFAULT_WORKERS = 4
# Placeholders for fields that only a running stack or the data can tell, while the other fields are checked.
# The world size is the largest one, so that no fault plan is refused before the real one is known.
_LATER = {"host": "127.0.0.1", "port": 11211, "data_bucket": "not-known-yet", "n_features": 1, "n_workers": 1000}
# Beyond the workers' own deadlines: they end by themselves, with a better error than the follower's.
PATIENCE_MARGIN_S = 30.0
# What Lambda says of a function that died; a coordinator tried again takes its run up.
DIED = {"Runtime.ExitError", "Sandbox.Timedout", "InvokeError"}
COORDINATOR_TRIES = 3
# The prompt comes back after an interruption, whether the cache answers or not.
ABORT_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asks for.

    Attributes:
        event: The job's keys that the user set.
        data: What to train on.
    """

    event: dict[str, Any]
    data: DataSpec


def read_request(data: str | None, job_file: Path | None, flags: dict[str, Any]) -> Request:
    """Combine the command line and the job file into one request.

    The world size is 4 where nobody names one; that of partitions in a bucket is read when the stack runs.

    Args:
        data: The `--data` text; None for the partitions in the job's `data_bucket`, else the default data set.
        job_file: A job's event as JSON; may be None.
        flags: Job keys set on the command line; they win over the file's.

    Raises:
        HarnessError: The file cannot be read or holds no JSON object.
        InputError: The data text is not understood.
    """
    event = {**(_read_event(job_file) if job_file else {}), **flags}
    if data is None and "data_bucket" in event:
        return Request(event, BucketSpec(str(event["data_bucket"]), str(event.get("data_prefix", ""))))
    row = MODELS.get(str(event.get("model", "lr")), MODELS["lr"])
    default = DEFAULT_DATA.get(str(event.get("dataset_type")), DEFAULT_DATA[row.data_types[0]])
    spec = parse_data_spec(data or default)
    return Request(event if isinstance(spec, BucketSpec) else {"n_workers": DEFAULT_WORKERS, **event}, spec)


def _read_event(path: Path) -> dict[str, Any]:
    try:
        event = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise HarnessError(
            f"the job file cannot be read: {error}", str(path), "give a JSON object of job keys"
        ) from error
    if not isinstance(event, dict):
        raise HarnessError(f"the job file holds a {type(event).__name__}", str(path), "give a JSON object of job keys")
    return event


class JobRefusedError(HarnessError):
    """The coordinator refused the job; no worker was started."""


Reporter = Callable[[str], None]


def check(request: Request) -> Job:
    """Checks the job before anything is started.

    Raises:
        InputError: A field is wrong; it is named.
    """
    return decode_job({**_LATER, **request.event}, Job)


def run(
    request: Request,
    settings: Settings,
    target: RunTarget,
    *,
    report: Reporter,
    watch: Watcher,
    faults: Plan | None = None,
) -> Summary:
    """Runs a job on a stack that is up, or on what was deployed.

    Args:
        request: What the user asks for.
        settings: The project's settings.
        target: Where the run takes place.
        report: Told each stage in a few words.
        watch: Told the progress of the ranks.
        faults: What the run is to meet.

    Raises:
        HarnessError: The run failed; the first cause is told.
        TrainingError: The job or its data is wrong.
    """
    with deaths_named(target.stack):
        return _run(request, settings, target, report=report, watch=watch, faults=faults)


def _run(
    request: Request, settings: Settings, target: RunTarget, *, report: Reporter, watch: Watcher, faults: Plan | None
) -> Summary:
    clients, stack = target.clients, target.stack
    request = _with_world_size(request, clients)
    draft = check(request)
    if faults:
        if stack is None:
            raise HarnessError("faults are brought about on this machine only", f"the run is to be on {target.mode}")
        check_faults(faults, draft, request.event)
    if stack is not None and stack.mode == "process" and MODELS[draft.model].needs_pytorch:
        ensure_pytorch(report)
    report("making functions ready")
    worker = worker_function(settings, draft)
    # Before the data: environments import their libraries meanwhile.
    images = {name: target.make_ready(name, settings, report) for name in (COORDINATOR, worker)}
    _check_concurrency(clients, worker, draft.n_workers)
    report("preparing data")
    data = prepare_data(request.data, draft, clients.s3, target.bucket)
    check_shape(request.event, data)
    chosen = defaults_for(request.event, draft, data.manifest, data.shape.get("n_classes", 2))
    if chosen:
        report(described(chosen))
    job = msgspec.to_builtins(decode_job({**chosen, **_complete(request, data, target)}, Job))
    if not target.bucket:
        _create_bucket(clients, job["result_bucket"])
    folder = RunFolder(clients.s3, job["result_bucket"], job["run_id"])
    report("invoking the coordinator")
    invoked_at, started = time.time(), time.perf_counter()
    tail = LogTail(clients.logs, f"/aws/lambda/{worker}", int(1000 * invoked_at), target.polling)
    with (
        in_force(stack, job["run_id"], draft.n_workers, faults) if stack else nullcontext(),
        _workers_stopped_on_failure(job, stack, folder),
    ):
        coordinator_request = _invoke(clients, job)
        with damage_named(folder):
            requests = list(folder.read_json("invoked.json")["requests"])
        report("training")
        # Between two lines a worker may compute as long as it lives; its death is told by the platform.
        patience = declared(settings, worker).timeout_s + PATIENCE_MARGIN_S
        retries = declared(settings, worker).retries
        scale = settings.gateway.retry_time_scale if stack is not None else 1.0
        progress = follow(
            folder,
            tail,
            requests,
            retries=retries,
            # A plan of faults may mean to rehearse it.
            oom_is_final=not faults,
            patience_s=patience,
            watch=watch,
            service_answers=lambda: _answers(clients, stack),
            retry_delays_s=tuple(scale * delay_s for delay_s in RETRY_DELAYS_S),
        )
    seconds = time.perf_counter() - started
    coordinator_log = LogTail(clients.logs, f"/aws/lambda/{COORDINATOR}", int(1000 * invoked_at)).lines()
    coordinator = [found for _, text in coordinator_log if (found := read_report(text))]
    reports = [*progress.reports, *(found for found in coordinator if found.request_id == coordinator_request)]
    with damage_named(folder):
        summary = summarise(
            folder,
            mode=target.mode,
            images={name: digest for name, digest in images.items() if digest},
            job=job,
            defaults=chosen,
            reports=reports,
            progress=progress,
            invoked_at=invoked_at,
            seconds=seconds,
        )
    if uneven := uneven_features(decode_job(job, Job), data.manifest, summary.loss):
        summary = msgspec.structs.replace(summary, warnings=[*summary.warnings, uneven])
    if stack is None:
        return summary
    restarts = restart_events(stack, invoked_at)
    summary = msgspec.structs.replace(summary, events=[*summary.events, *restarts])
    if not faults:
        return summary
    struck = read_events(stack, summary.run_id)
    events = fault_records(struck, folder, rounds=summary.rounds, invoked_at=invoked_at, ended_at=invoked_at + seconds)
    return msgspec.structs.replace(summary, events=[*events, *summary.events])


def _with_world_size(request: Request, clients: Clients) -> Request:
    """Return the request with as many workers as its bucket holds partitions, unless it names a number itself."""
    if "n_workers" in request.event or not isinstance(request.data, BucketSpec):
        return request
    found = count_partitions(clients.s3, request.data.bucket, request.data.prefix)
    return replace(request, event={"n_workers": found, **request.event})


def worker_function(settings: Settings, job: Job) -> str:
    """Return the name of the function that the coordinator invokes for this job."""
    return training_function(job.model, declared(settings, COORDINATOR).environment)


def save_model(s3: "S3Client", summary: Summary, path: Path) -> None:
    """Copies a run's model into a file.

    Raises:
        HarnessError: The file cannot be written.
    """
    bucket, key = summary.model["location"].removeprefix("s3://").split("/", 1)
    try:
        path.write_bytes(get_object(s3, bucket, key))
    except OSError as error:
        raise HarnessError(f"the model cannot be saved: {error.strerror}", str(path)) from error


def save_event(summary: Summary, path: Path) -> None:
    """Write a run's job into a file, as an event with which the coordinator starts another run like it.

    The event has no run id: the new run is named by the coordinator's request.

    Raises:
        HarnessError: The file cannot be written.
    """
    event = {key: value for key, value in summary.job.items() if key != "run_id" and value not in (None, "")}
    try:
        path.write_text(json.dumps(event, indent=2) + "\n")
    except OSError as error:
        raise HarnessError(f"the event cannot be saved: {error.strerror}", str(path)) from error


def _complete(request: Request, data: Data, target: RunTarget) -> dict[str, Any]:
    """The whole event: what the user set, then what the data and the place say."""
    host, port = target.discovery.rsplit(":", 1)
    return {
        "dataset": data.name,
        **data.shape,
        "run_id": f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
        "result_bucket": target.bucket or RESULT_BUCKET,
        **request.event,
        "data_bucket": data.bucket,
        "data_prefix": data.prefix,
        "host": host,
        "port": int(port),
    }


def _check_concurrency(clients: Clients, worker: str, n_workers: int) -> None:
    """A barrier among n workers needs n environments at once: too few would wait for one another.

    Raises:
        HarnessError: The account lets fewer functions run at once, or the worker has fewer for itself.
    """
    reserved = clients.functions.get_function(FunctionName=worker).get("Concurrency", {})
    most = reserved.get("ReservedConcurrentExecutions")
    if most is not None:
        if n_workers > most:
            raise HarnessError(
                f"{n_workers} workers run at once",
                f"{most} environments are reserved for {worker}, and it gets no more",
                f"lower --n-workers, or deploy with --n-workers {n_workers}",
            )
        return
    limit = clients.functions.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    # The coordinator still runs while the last worker starts.
    if n_workers + 1 > limit:
        raise HarnessError(
            f"{n_workers} workers and the coordinator need {n_workers + 1} functions at once",
            f"the account allows {limit}",
            "lower --n-workers, or raise the account's concurrency (account_concurrency in harness.toml)",
        )


def _answers(clients: Clients, stack: StackState | None) -> bool:
    """Return whether the Lambda service is there; a refusal is an answer.

    Raises:
        HarnessError: A part of the stack has died.
    """
    if stack is not None and stack.mode == "process":
        check_parts(stack)  # a look at /proc; asking the engine costs more, and an error asks it
    try:
        clients.control.get_account_settings()
    except ClientError:
        return True
    except BotoCoreError:
        return False
    return True


def _invoke(clients: Clients, job: dict[str, Any]) -> str:
    """Invokes the coordinator and returns its request id; one that died half-way is tried again with the same job.

    Raises:
        HarnessError: It failed; its error is told.
    """
    for tries_left in reversed(range(COORDINATOR_TRIES)):
        answer = clients.functions.invoke(FunctionName=COORDINATOR, Payload=json.dumps(job))
        payload = json.loads(answer["Payload"].read())
        kind = payload.get("errorType") if answer.get("FunctionError") else None
        if kind is None:
            break
        if kind in DIED and tries_left:
            continue
        error = JobRefusedError if kind in {"InputError", "JobError"} else HarnessError
        raise error(
            f"the coordinator failed: {kind}: {payload.get('errorMessage')}",
            remedy=f"see `harness logs {COORDINATOR}`",
        )
    return answer["ResponseMetadata"]["RequestId"]


@contextmanager
def _workers_stopped_on_failure(job: dict[str, Any], stack: StackState | None, folder: RunFolder) -> Iterator[None]:
    """When nobody waits for the workers any more, they would not know: they stop as if one of them had failed.

    Those that wait read it in the cache, those that Lambda has yet to try again in the run's folder.
    A cache on AWS cannot be reached from outside: there, ranks that wait look into the folder after a while.
    """
    try:
        yield
    except JobRefusedError:
        raise  # a run of the same name may be somebody else's
    except BaseException as error:
        cause = f"harness run: {str(error) or type(error).__name__}"
        with suppress(TrainingError):
            folder.write_json("aborted.json", {"cause": cause})
        error.add_note(f"run {job['run_id']} was given up: its {job['n_workers']} workers were told to stop")
        if stack is None:
            raise
        # The node itself: the one that the configuration endpoint names may be known to functions only.
        host, _, port = stack.endpoints.memcached.rpartition(":")
        with suppress(ChannelError), closing(MemcachedChannel(host, int(port), ABORT_TIMEOUT_S)) as channel:
            abort_run(channel, job["run_id"], cause, job["tmp_bucket"])
        raise


def _create_bucket(clients: Clients, bucket: str) -> None:
    try:
        clients.s3.create_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
            raise
