"""Checkpoints in S3, for the case that no training rank is left: `runs/<run_id>/checkpoint/`.

    checkpoint/<round>/shared           the state that all ranks share after a round; written by rank 0
    checkpoint/<round>/private.<rank>   a rank's private state (ADMM's x and u); written by that rank
    checkpoint/<round>.json             the manifest: job, round, checksum; written last, by rank 0

The manifest publishes a checkpoint: rank 0 writes it once all parts are stored and the shared part was read back.
The two newest checkpoints are kept.
"""

import hashlib
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec

from training.errors import DamagedFrame, InputError
from training.exchange.backoff import delays
from training.exchange.notes import Note
from training.job import WorkerJob
from training.run.results import RunFolder, StorageError

KEPT = 2
_MANIFEST = re.compile(r"checkpoint/(\d+)\.json")
# Ranks leave a round within moments of each other, and each then writes one object.
PARTS_WITHIN_S = 10.0
# Fields that may differ between two workers or two links of one run.
_NOT_THE_JOB = {
    "worker_index",
    "file",
    "expected",
    "test_expected",
    "link",
    "revival",
    "stood_still",
    "revive",
    "host",
    "port",
    "round_timeout_s",
    "join_timeout_s",
    "checkpoint_every_s",
}


class CheckpointManifest(msgspec.Struct, frozen=True):
    """The record that publishes a checkpoint.

    Attributes:
        round: The round that the state follows.
        job: The job's fields.
        sha256: Digest of the shared part.
        ranks: Number of private parts; 0 for none.
    """

    round: int
    job: dict[str, Any]
    sha256: str
    ranks: int


class RunCheckpoints:
    """The checkpoints of one run, from the view of one rank.

    Args:
        folder: The run's folder.
        job: This worker's job.
        note: Called when a checkpoint was stored or could not be.
        names: A recent listing of the run's objects, which saves the first call of `newest` a request.
        interval: Records how long something takes, by its name.
    """

    def __init__(
        self,
        folder: RunFolder,
        job: WorkerJob,
        note: Note,
        names: list[str] | None = None,
        interval: Callable[[str], AbstractContextManager[None]] = lambda _name: nullcontext(),
    ) -> None:
        self._folder, self._job, self._note = folder, job, note
        self._names, self._interval = names, interval
        self.saved_at = time.monotonic()

    def newest(self) -> int:
        """Return the round of the newest checkpoint; 0 when there is none."""
        names, self._names = self._names, None
        return max(self._rounds(names), default=0)

    def save(self, round_number: int, shared: bytes, private: bytes | None) -> None:
        """Store this rank's share.

        Training continues when S3 fails: the previous checkpoint stays the newest.
        """
        with self._interval("checkpoint"):
            self._save(round_number, shared, private)

    def _save(self, round_number: int, shared: bytes, private: bytes | None) -> None:
        started = self.saved_at = time.monotonic()
        try:
            if private is not None:
                self._folder.write(_private(round_number, self._job.rank), private)
            if self._job.rank == 0:
                self._publish(round_number, shared, self._job.n_workers if private is not None else 0)
                seconds = time.monotonic() - started
                self._note("checkpoint", round=round_number, bytes=len(shared), seconds=seconds)
        except StorageError as error:
            self._note("checkpoint_failed", round=round_number, cause=str(error))

    def load(self, round_number: int) -> tuple[bytes, bytes | None]:
        """Return the shared part and this rank's private part.

        Raises:
            InputError: The checkpoint belongs to another job; the message names the field.
            DamagedFrame: The checkpoint is truncated or changed, or lacks a part.
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
        """Wait until a checkpoint is published; return False when it does not appear in time."""
        return self._poll(lambda: self._folder.read(_manifest(round_number)) is not None)

    def _publish(self, round_number: int, shared: bytes, ranks: int) -> None:
        sha256 = self._folder.write(_shared(round_number), shared)
        if hashlib.sha256(self._read(_shared(round_number))).hexdigest() != sha256:
            raise StorageError(f"{self._folder.location(_shared(round_number))} reads back as something else")
        parts = {_private(round_number, rank) for rank in range(ranks)}
        if not self._poll(lambda: parts <= set(self._folder.names(f"checkpoint/{round_number}/"))):
            raise StorageError(f"the parts of some ranks did not come within {PARTS_WITHIN_S:.0f} s")
        manifest = CheckpointManifest(round_number, _job_fields(self._job), sha256, ranks)
        self._folder.write_json(_manifest(round_number), manifest)
        for old in sorted(self._rounds())[:-KEPT]:
            # The manifest first: without one the parts are no checkpoint.
            self._folder.delete([_manifest(old)])
            self._folder.delete(self._folder.names(f"checkpoint/{old}/"))

    def _rounds(self, names: list[str] | None = None) -> list[int]:
        """Return the rounds of all published checkpoints."""
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
