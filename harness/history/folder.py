"""The folder of a kept run, `.harness/runs/<run_id>/`, which reads as a run's folder in S3 does."""

import stat
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from harness.errors import HarnessError
from harness.history.names import is_run_id, is_safe, match_run
from harness.history.records import RUN, KeptRecord
from harness.settings import Settings
from training.errors import InputError
from training.run.results import MOST_RECORD_BYTES, MOST_RESULT_BYTES

Record = TypeVar("Record")


class RunRecords(Protocol):
    """A run's folder, in S3 or kept, for reading."""

    @property
    def run_id(self) -> str:
        """The run."""

    def location(self, name: str) -> str:
        """Return the address of an object."""

    def read(self, name: str) -> bytes | None:
        """Return an object's bytes; None when it is absent."""

    def read_json(self, name: str) -> Any:  # noqa: ANN401 - JSON has no narrower type
        """Return a record; None when it is absent."""

    def read_as(self, name: str, kind: type[Record]) -> Record | None:
        """Return a record of this type; None when it is absent."""

    def names(self, folder: str) -> list[str]:
        """Return the names of the objects in a folder such as `workers/`, sorted."""


class KeptFolder:
    """A kept run.

    Args:
        path: Its folder; its name is the run's id.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._run_id = path, path.name
        self._record: tuple[KeptRecord | None] | None = None

    @property
    def run_id(self) -> str:
        """The run."""
        return self._run_id

    def location(self, name: str) -> str:
        """Return the path of an object."""
        return str(self.path / name)

    def read(self, name: str) -> bytes | None:
        """Return an object's bytes; None when it is absent.

        Raises:
            InputError: It is no regular file.
            HarnessError: The file cannot be read.
        """
        return self._read(name, None)

    def read_json(self, name: str) -> Any:  # noqa: ANN401 - JSON has no narrower type
        """Return a record; None when it is absent.

        Raises:
            InputError: The object is not JSON, or is larger than any record.
            HarnessError: The file cannot be read.
        """
        return self.read_as(name, Any)

    def read_as(self, name: str, kind: type[Record]) -> Record | None:
        """Return a record of this type; None when it is absent.

        Raises:
            InputError: The object is not such a record, or is larger than any record.
            HarnessError: The file cannot be read.
        """
        body = self._read(name, MOST_RESULT_BYTES if name == "result.json" else MOST_RECORD_BYTES)
        try:
            return None if body is None else msgspec.json.decode(body, type=kind)
        except msgspec.MsgspecError as error:
            raise InputError(f"{self.location(name)} is not what a run leaves there: {error}") from error

    def names(self, folder: str) -> list[str]:
        """Return the names of the objects in a folder such as `workers/`, sorted."""
        top, prefix = self.path / folder.rpartition("/")[0], folder
        try:
            files = [path for path in top.rglob("*") if path.is_file()] if top.is_dir() else []
        except FileNotFoundError:  # another command removes the run
            return []
        names = (path.relative_to(self.path).as_posix() for path in files)
        return sorted(name for name in names if name.startswith(prefix))

    def record(self) -> KeptRecord | None:
        """Return `run.json`, read once; None if it is absent or damaged."""
        if self._record is None:
            try:
                self._record = (self.read_as(RUN, KeptRecord),)
            except (InputError, HarnessError):
                self._record = (None,)
        return self._record[0]

    def _read(self, name: str, most_bytes: int | None) -> bytes | None:
        if not is_safe(name):
            return None
        path = self.path / name
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
                # A pipe would be waited for, and a device may have no end.
                raise InputError(f"{path} is no regular file")
            if most_bytes is not None and found.st_size > most_bytes:
                raise InputError(f"{path} has {found.st_size} bytes; no record has more than {most_bytes}")
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise HarnessError(f"a kept run cannot be read: {error.strerror}", str(path)) from error


def history_root(settings: Settings) -> Path:
    """Return the folder of the project's kept runs, `.harness/runs`; it may not exist yet."""
    return settings.state_dir / "runs"


def kept_runs(root: Path) -> list[KeptFolder]:
    """Return all kept runs, the oldest first."""
    try:
        paths = [path for path in root.iterdir() if is_run_id(path.name) and path.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise HarnessError(f"the kept runs cannot be read: {error.strerror}", str(root)) from error
    return sorted(map(KeptFolder, paths), key=_by_time)


def find_run(root: Path, name: str) -> KeptFolder:
    """Return the kept run that a user means: by its id, by the beginning of it, or the newest by `last`.

    Raises:
        HarnessError: There is no such run, or several begin so; the message names near ones.
    """
    kept = {folder.run_id: folder for folder in kept_runs(root)}
    return kept[match_run(name, list(kept), f"looked in {root}")]


def _by_time(folder: KeptFolder) -> tuple[float, str]:
    """Return when a run began; if its record does not tell, when its folder was made."""
    record = folder.record()
    try:
        return record.started_at if record else folder.path.stat().st_mtime, folder.run_id
    except OSError:  # it is being removed
        return 0.0, folder.run_id
