"""Checkpoints in S3, for when no rank that trains is left: `runs/<run_id>/checkpoint/`.

    checkpoint/<round>/shared           what all ranks share after a round; written by rank 0
    checkpoint/<round>/private.<rank>   what a rank alone has (ADMM's x and u); written by that rank
    checkpoint/<round>.json             names the checkpoint: the job, the round, the checksum; written last, by rank 0

A checkpoint counts from the moment that it is named, when all its parts lie there and the shared one was read back.
The two newest are kept.
"""

import hashlib
import re
import time
from collections.abc import Callable
from typing import Any

import msgspec

from training.errors import DamagedFrame, InputError
from training.exchange.backoff import delays
from training.exchange.recovery.recovery import Note
from training.job import WorkerJob
from training.run.results import RunFolder, StorageError

KEPT = 2
_MANIFEST = re.compile(r"checkpoint/(\d+)\.json")
# Ranks leave a round within moments of one another; then each writes one object.
PARTS_WITHIN_S = 10.0
# Fields that may differ between two workers or two links of one run.
_NOT_THE_JOB = {
    "worker_index",
    "file",
    "expected",
    "link",
    "host",
    "port",
    "round_timeout_s",
    "join_timeout_s",
    "checkpoint_every_s",
}


class CheckpointManifest(msgspec.Struct, frozen=True):
    """What names a checkpoint.

    Attributes:
        round: The round after which it stands.
        job: The job's fields.
        sha256: Of the shared part.
        ranks: How many private parts there are; 0 for none.
    """

    round: int
    job: dict[str, Any]
    sha256: str
    ranks: int


class RunCheckpoints:
    """The checkpoints of one run, as one rank sees them.

    Args:
        folder: The run's folder.
        job: This worker's job.
        note: Told when a checkpoint was stored or could not be.
        names: The run's objects as they were a moment ago, for the first time that the newest is asked for.
    """

    def __init__(self, folder: RunFolder, job: WorkerJob, note: Note, names: list[str] | None = None) -> None:
        self._folder, self._job, self._note = folder, job, note
        self._names = names
        self.saved_at = time.monotonic()

    def newest(self) -> int:
        """The round of the newest one; 0 when there is none."""
        names, self._names = self._names, None
        return max(self._rounds(names), default=0)

    def save(self, round_number: int, shared: bytes, private: bytes | None) -> None:
        """Stores this rank's share.

        Training goes on when S3 fails: the checkpoint before this one stays the newest.
        """
        started = self.saved_at = time.monotonic()
        try:
            if private is not None:
                self._folder.write(_private(round_number, self._job.rank), private)
            if self._job.rank == 0:
                self._name(round_number, shared, self._job.n_workers if private is not None else 0)
                seconds = time.monotonic() - started
                self._note("checkpoint", round=round_number, bytes=len(shared), seconds=seconds)
        except StorageError as error:
            self._note("checkpoint_failed", round=round_number, cause=str(error))

    def load(self, round_number: int) -> tuple[bytes, bytes | None]:
        """The shared part, and this rank's own.

        Raises:
            InputError: The checkpoint is of another job; the field is named.
            DamagedFrame: It is truncated, changed, or a part is gone.
            StorageError: S3 fails.
        """
        name = _manifest(round_number)
        try:
            manifest = msgspec.json.decode(self._read(name), type=CheckpointManifest)
        except msgspec.MsgspecError as error:
            raise DamagedFrame(f"{self._folder.location(name)} is no checkpoint: {error}") from error
        expected = _job_fields(self._job)
        for field, found in {"round": manifest.round, **manifest.job}.items():
            wanted = round_number if field == "round" else expected.get(field)
            if found != wanted:
                raise InputError(
                    f"{self._folder.location(name)} is of another job: {field} is {found!r}, expected {wanted!r}"
                )
        shared = self._read(_shared(round_number))
        actual = hashlib.sha256(shared).hexdigest()
        if actual != manifest.sha256:
            raise DamagedFrame(
                f"{self._folder.location(_shared(round_number))}: sha256 is {actual}, expected {manifest.sha256}"
            )
        return shared, self._read(_private(round_number, self._job.rank)) if manifest.ranks else None

    def wait_for(self, round_number: int) -> bool:
        """Waits until a checkpoint is named; False when it does not come."""
        return self._poll(lambda: self._folder.read(_manifest(round_number)) is not None)

    def _name(self, round_number: int, shared: bytes, ranks: int) -> None:
        sha256 = self._folder.write(_shared(round_number), shared)
        if hashlib.sha256(self._read(_shared(round_number))).hexdigest() != sha256:
            raise StorageError(f"{self._folder.location(_shared(round_number))} reads back as something else")
        parts = {_private(round_number, rank) for rank in range(ranks)}
        if not self._poll(lambda: parts <= set(self._folder.names(f"checkpoint/{round_number}/"))):
            raise StorageError(f"the parts of some ranks did not come within {PARTS_WITHIN_S:.0f} s")
        manifest = CheckpointManifest(round_number, _job_fields(self._job), sha256, ranks)
        self._folder.write_json(_manifest(round_number), manifest)
        for old in sorted(self._rounds())[:-KEPT]:
            # Its name goes first: what has no name is no checkpoint.
            self._folder.delete([_manifest(old)])
            self._folder.delete(self._folder.names(f"checkpoint/{old}/"))

    def _rounds(self, names: list[str] | None = None) -> list[int]:
        """The rounds of all that are named."""
        names = self._folder.names("checkpoint/") if names is None else names
        named = [_MANIFEST.fullmatch(name) for name in names]
        return [int(match[1]) for match in named if match]

    def _read(self, name: str) -> bytes:
        body = self._folder.read(name)
        if body is None:
            raise DamagedFrame(f"{self._folder.location(name)} is gone")
        return body

    def _poll(self, is_there: Callable[[], bool]) -> bool:
        started = time.monotonic()
        for delay in delays():
            if is_there():
                return True
            if time.monotonic() - started >= PARTS_WITHIN_S:
                return False
            time.sleep(10 * delay)
        raise AssertionError("the delays never end")


def _job_fields(job: WorkerJob) -> dict[str, Any]:
    return {name: value for name, value in msgspec.to_builtins(job).items() if name not in _NOT_THE_JOB}


def _manifest(round_number: int) -> str:
    return f"checkpoint/{round_number}.json"


def _shared(round_number: int) -> str:
    return f"checkpoint/{round_number}/shared"


def _private(round_number: int, rank: int) -> str:
    return f"checkpoint/{round_number}/private.{rank}"
