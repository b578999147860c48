"""The probe's event: what one invocation of a worker measures, within limits that keep it short and cheap.

    {"probe": "cache", "run_id": "calibrate-...", "bucket": "...", "host": "...", "port": 11211, "samples": 500}

A job has no key `probe`, so that the worker's handler tells the two apart.
"""

from typing import Annotated, Literal

import msgspec

from training.errors import InputError, JobError
from training.job_fields import BucketName, HostName, RunId

ProbeKind = Literal["start", "cache", "s3", "receive_cache", "receive_s3", "send_s3", "requests", "processor"]

# An invocation that nobody waits for any longer costs no more than this.
MOST_SECONDS = 120.0
# Every Memcached takes a value of this size: its smallest limit of an item is 1 MB, with key and header.
LARGEST_VALUE_BYTES = 1_000_000


class Probe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one invocation measures.

    Attributes:
        probe: What is measured; `training.probe.probing` has one function for each.
        run_id: The calibration; the objects and keys of the probe have it in their names.
        bucket: The bucket of the objects, below `runs/<run_id>/checkpoint/`, the folder that a worker may clear.
        host: The host of the Memcached configuration endpoint, or of a plain node.
        port: Its port.
        mark: The number of the object by which a `start` says that it began; it then waits for the calibration's
            release. None: it returns at once.
        samples: How many round trips, reads or writes are measured.
        seconds: How long a transfer, the processor or the requests are measured; for a `start` the longest wait.
        object_bytes: The size of an object or of a value.
        connections: Connections at once.
        writes: Whether requests are writes.
    """

    probe: ProbeKind
    run_id: RunId
    bucket: BucketName
    host: HostName = "localhost"
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 11_211
    mark: Annotated[int, msgspec.Meta(ge=0, le=9_999)] | None = None
    samples: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    seconds: Annotated[float, msgspec.Meta(gt=0, le=MOST_SECONDS)] = 1.0
    object_bytes: Annotated[int, msgspec.Meta(ge=1, le=128 << 20)] = 1 << 10
    connections: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    writes: bool = False


def is_probe(event: object) -> bool:
    """Return whether an event asks for figures instead of training."""
    return isinstance(event, dict) and "probe" in event


def decode_probe(event: object) -> Probe:
    """Check an event and return it as a record.

    Raises:
        InputError: A key is unknown, missing, or has a value that is not allowed; the message names it.
    """
    try:
        probe = msgspec.convert(event, Probe)
    except msgspec.ValidationError as error:
        raise InputError(f"the event of a probe is wrong: {error}") from error
    if probe.probe == "receive_cache" and probe.object_bytes > LARGEST_VALUE_BYTES:
        raise JobError("object_bytes", probe.object_bytes, f"at most {LARGEST_VALUE_BYTES} for a value of the cache")
    return probe
