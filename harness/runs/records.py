"""Records in a run's folder, which are untrusted: anybody with write access to the bucket may have put them there."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import msgspec

from harness.errors import HarnessError
from harness.history.folder import RunRecords
from harness.insight.timings import Timings, read_timings
from training.run.invoking import CONNECTIONS

_NAME = re.compile(r"[a-z]+/(\d{1,6})\.\d{1,6}\.json")


class Failure(msgspec.Struct, frozen=True):
    """`failed/<rank>.<attempt>.json`."""

    rank: int
    kind: str
    cause: str
    final: bool
    time: float


def rank_of(name: str) -> int | None:
    """Return the rank whose record has this name, such as `workers/3.1.json`; None if no worker writes such a name."""
    found = _NAME.fullmatch(name)
    return int(found[1]) if found else None


def record_names(folder: RunRecords, kind: str, n_ranks: int) -> list[str]:
    """Return the names of the workers' records of a kind, such as `workers/`; skip other objects."""
    named = [(rank_of(name), name) for name in folder.names(kind)]
    return [name for rank, name in named if rank is not None and rank < n_ranks]


def timings_of(folder: RunRecords, n_ranks: int) -> dict[int, list[Timings]]:
    """Return the timings of each rank's attempts, the oldest first; a rank whose attempts all died has none."""
    names = sorted(record_names(folder, "telemetry/", n_ranks), key=lambda name: int(name.split(".")[1]))
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        records = list(pool.map(folder.read_json, names))
    found: dict[int, list[Timings]] = {rank: [] for rank in range(n_ranks)}
    for name, record in zip(names, records, strict=True):
        rank = rank_of(name)
        if rank is not None and isinstance(record, dict):
            found[rank].append(read_timings(record))
    return found


@contextmanager
def damage_named(folder: RunRecords) -> Iterator[None]:
    """Turn any error that a malformed record causes in the block into one error that names the folder.

    Raises:
        HarnessError: A record lacks a key, or has a value of another type than workers store.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, msgspec.MsgspecError) as error:
        raise HarnessError(
            f"the folder of run {folder.run_id} holds a record that no worker wrote ({type(error).__name__}: {error})",
            folder.location(""),
            "remove what was put there by hand, or run again under another run id",
        ) from error
