"""The function that trains: its name, and what a single run changes in its settings."""

import msgspec

from harness.runs.declared import COORDINATOR, declared
from harness.settings import FunctionSettings, Settings
from training.job import Job
from training.model.catalogue import PYTORCH_WORKER, WORKER, row_of, training_function


def worker_function(settings: Settings, job: Job) -> str:
    """Return the name of the function that the coordinator invokes for this job."""
    return training_function(job.model, declared(settings, COORDINATOR).environment, job.worker_function)


def worker_table(settings: Settings, job: Job) -> FunctionSettings:
    """Return the table of a job's worker; for a model that was named by its path, that of the worker that it extends.

    Args:
        settings: The project's settings, with its own models.
        job: A job that has run.
    """
    name = worker_function(settings, job)
    if name not in settings.functions and row_of(job.model).own:
        extends_pytorch = name.startswith(f"{PYTORCH_WORKER.name}_")
        name = PYTORCH_WORKER.name if extends_pytorch else WORKER.name
    return declared(settings, name)


def for_run(
    settings: Settings,
    worker: str,
    *,
    retry_time_scale: float | None,
    timeout_s: int | None,
    memory_mb: int | None,
    zones: int | None = None,
    cache_nodes: int | None = None,
) -> Settings:
    """Return the settings with the values that a single run overrides; None leaves a value unchanged.

    Args:
        settings: The project's settings.
        worker: The function that trains.
        retry_time_scale: The factor on Lambda's retry delays.
        timeout_s: Time limit of a worker, seconds.
        memory_mb: Memory of a worker, MB.
        zones: The number of zones that functions are in.
        cache_nodes: The number of the cache's nodes.
    """
    changes = {"timeout_s": timeout_s, "memory_mb": memory_mb}
    given = {key: value for key, value in changes.items() if value is not None}
    changed = msgspec.structs.replace(declared(settings, worker), **given)
    of_gateway = {"retry_time_scale": retry_time_scale, "zones": zones}
    gateway = msgspec.structs.replace(
        settings.gateway, **{key: value for key, value in of_gateway.items() if value is not None}
    )
    stack = msgspec.structs.replace(settings.stack, cache_nodes=cache_nodes or settings.stack.cache_nodes)
    return msgspec.structs.replace(
        settings, stack=stack, gateway=gateway, functions={**settings.functions, worker: changed}
    )
