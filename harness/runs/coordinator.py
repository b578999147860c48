"""The coordinator of a run: invoked when its workers can run at once; the workers stopped when the run fails."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import msgspec

from harness.aws.clients import Clients
from harness.errors import HarnessError
from harness.runs.declared import COORDINATOR
from harness.stack.state import StackState
from training.errors import ChannelError, TrainingError
from training.exchange.channel.memcached import MemcachedChannel
from training.exchange.run_signals import abort_run
from training.job import Job
from training.run.results import RunFolder

# Lambda's error types for a function that died; a coordinator that is invoked again resumes its run.
DIED = {"Runtime.ExitError", "Sandbox.Timedout", "InvokeError"}
COORDINATOR_TRIES = 3
# The prompt comes back after an interruption, whether the cache answers or not.
ABORT_TIMEOUT_S = 1.0


class JobRefusedError(HarnessError):
    """The coordinator refused the job; no worker was started."""


def check_concurrency(clients: Clients, worker: str, n_workers: int) -> None:
    """Check that all workers can run at once: with too few environments, those that run would wait for the others.

    Raises:
        HarnessError: The account's concurrency, or the worker's reserved concurrency, is too low.
    """
    reserved = clients.management.get_function(FunctionName=worker).get("Concurrency", {})
    most = reserved.get("ReservedConcurrentExecutions")
    if most is not None:
        if n_workers > most:
            raise HarnessError(
                f"{n_workers} workers run at once",
                f"{most} environments are reserved for {worker}, and it gets no more",
                f"lower --n-workers, or deploy with --n-workers {n_workers}",
            )
        return
    limit = clients.management.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    # The coordinator still runs while the last worker starts.
    if n_workers + 1 > limit:
        raise HarnessError(
            f"{n_workers} workers and the coordinator need {n_workers + 1} functions at once",
            f"the account allows {limit}",
            "lower --n-workers, or raise the account's concurrency (account_concurrency in harness.toml)",
        )


def runs_at_once(clients: Clients, worker: str, n_workers: int) -> int:
    """Return how many runs of this size the worker's reserved concurrency, or the account's, allows at once."""
    reserved = clients.management.get_function(FunctionName=worker).get("Concurrency", {})
    most: int | None = reserved.get("ReservedConcurrentExecutions")
    if most is not None:
        return most // n_workers
    limit: int = clients.management.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    return limit // (n_workers + 1)


def invoke_coordinator(clients: Clients, job: Job) -> str:
    """Invoke the coordinator and return the request id; if the coordinator dies, invoke it again with the same job.

    Raises:
        JobRefusedError: The coordinator refused the job.
        HarnessError: It failed; the message has its error.
    """
    event = json.dumps(msgspec.to_builtins(job))
    for tries_left in reversed(range(COORDINATOR_TRIES)):
        answer = clients.functions.invoke(FunctionName=COORDINATOR, Payload=event)
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
def workers_stopped_on_failure(job: Job, stack: StackState | None, folder: RunFolder) -> Iterator[None]:
    """Tell the workers to stop when the block fails: nobody waits for them any more."""
    try:
        yield
    except JobRefusedError:
        raise  # a run of the same name may be somebody else's
    except BaseException as error:
        error.add_note(f"run {job.run_id} was given up: its {job.n_workers} workers were told to stop")
        with suppress(TrainingError):
            stop_workers(job, stack, folder, f"harness run: {str(error) or type(error).__name__}")
        raise


def stop_workers(job: Job, stack: StackState | None, folder: RunFolder, cause: str) -> None:
    """Tell the workers of a run to stop, as if one of them had failed.

    Workers that wait for a peer read this in the cache, those that Lambda has yet to retry in the run's folder.
    A cache on AWS cannot be reached from outside; there, waiting workers look into the folder after a while.

    Args:
        job: The run's job.
        stack: Its stack; None on AWS.
        folder: Its folder.
        cause: Why, one line.

    Raises:
        TrainingError: Its folder cannot be written to; workers that wait for a peer were told nevertheless.
    """
    try:
        folder.write_json("aborted.json", {"cause": cause})
    finally:
        if stack is not None:
            # The nodes themselves, each of them: the addresses that the configuration endpoint returns may be for
            # functions only, and they decide on which node a key is.
            for node in stack.endpoints.cache_nodes or (stack.endpoints.memcached,):
                host, _, port = node.rpartition(":")
                with suppress(ChannelError), closing(MemcachedChannel(host, int(port), ABORT_TIMEOUT_S)) as channel:
                    abort_run(channel, folder.run_id, cause, job.tmp_bucket)
