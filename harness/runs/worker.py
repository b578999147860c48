"""The function that trains: its name, and what a single run changes in its settings."""

import msgspec

from harness.runs.functions import COORDINATOR, declared
from harness.settings import Settings
from training.job import Job
from training.model.catalogue import training_function


def worker_function(settings: Settings, job: Job) -> str:
    """Return the name of the function that the coordinator invokes for this job."""
    return training_function(job.model, declared(settings, COORDINATOR).environment)


def for_run(
    settings: Settings, worker: str, *, retry_time_scale: float | None, timeout_s: int | None, memory_mb: int | None
) -> Settings:
    """Return the settings with the values that a single run overrides; None leaves a value unchanged.

    Args:
        settings: The project's settings.
        worker: The function that trains.
        retry_time_scale: The factor on Lambda's retry delays.
        timeout_s: Time limit of a worker, seconds.
        memory_mb: Memory of a worker, MB.
    """
    changes = {"timeout_s": timeout_s, "memory_mb": memory_mb}
    given = {key: value for key, value in changes.items() if value is not None}
    changed = msgspec.structs.replace(declared(settings, worker), **given)
    gateway = settings.gateway
    if retry_time_scale is not None:
        gateway = msgspec.structs.replace(gateway, retry_time_scale=retry_time_scale)
    return msgspec.structs.replace(settings, gateway=gateway, functions={**settings.functions, worker: changed})
