"""The folders of studies below `tune` in the state folder, one for each, and who works on them.

tune/NAME/study.json   what the study searches
tune/NAME/optuna.log   its trials, as Optuna's JournalStorage
tune/NAME/lock         held by the command that works on it; the kernel releases it if that dies
"""

import fcntl
import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from harness.errors import HarnessError
from harness.settings import Settings
from harness.stack.folders import open_state_dir
from harness.system import records
from harness.system.disk import writing_into
from harness.system.private_files import private_folder
from harness.tune.records import VERSION, StudyPlan, StudyRecord

RECORD_FILE, STORAGE_FILE, LOCK_FILE = "study.json", "optuna.log", "lock"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def studies_folder(settings: Settings) -> Path:
    """Return the folder of all studies of a project."""
    return settings.state_dir / "tune"


def check_name(name: str) -> None:
    """Refuse a name that cannot be a folder's.

    Raises:
        HarnessError: It cannot.
    """
    if not NAME.fullmatch(name):
        raise HarnessError(
            f"{name!r} is no name for a study", remedy="take up to 64 letters, digits, `.`, `_` or `-`, first a letter"
        )


def name_for(plan: StudyPlan) -> str:
    """Return the name of the study that a command describes: the same command finds the same study."""
    digest = hashlib.sha256(msgspec.json.encode(plan, order="deterministic")).hexdigest()
    model = re.sub(r"[^A-Za-z0-9]+", "-", str(plan.event.get("model", "lr"))).strip("-")[:40] or "model"
    return f"{model}-{digest[:8]}"


def study_names(settings: Settings) -> list[str]:
    """Return the names of all studies of a project."""
    return sorted(file.parent.name for file in studies_folder(settings).glob(f"*/{RECORD_FILE}"))


def read_study(settings: Settings, name: str) -> StudyRecord:
    """Return a study's record.

    Raises:
        HarnessError: There is no such study, or its file is damaged or of another version.
    """
    check_name(name)
    file = studies_folder(settings) / name / RECORD_FILE
    try:
        record = records.decode(file.read_bytes(), StudyRecord)
    except FileNotFoundError as error:
        known = study_names(settings)
        where = f"there are {', '.join(known[:8])}" if known else "there is no study in this project"
        raise HarnessError(f"there is no study {name}", where, "see `harness tune list`") from error
    except OSError as error:
        raise HarnessError(f"the study cannot be read: {error.strerror}", str(file)) from error
    except msgspec.DecodeError as error:
        raise HarnessError(f"the study's file is damaged: {error}", str(file), f"remove {file.parent}") from error
    if record.version != VERSION:
        raise HarnessError(
            f"study {name} is of version {record.version}, and this harness reads {VERSION}",
            remedy="go on with the harness that made it, or take another --name",
        )
    return record


def save_study(settings: Settings, record: StudyRecord) -> None:
    """Write a study's record, atomically.

    Raises:
        HarnessError: The folder cannot be written to.
    """
    folder = studies_folder(settings) / record.name
    with writing_into(settings.state_dir):
        records.save(record, folder / RECORD_FILE)


@contextmanager
def working_on(settings: Settings, name: str) -> Iterator[Path]:
    """Hold a study for the block, and yield its folder, which is made if it is not there.

    Raises:
        HarnessError: Another command works on it, or the folder cannot be made.
    """
    check_name(name)
    folder = studies_folder(settings) / name
    with writing_into(settings.state_dir):
        open_state_dir(settings.state_dir)
        private_folder(folder.parent)
        private_folder(folder)
        file = (folder / LOCK_FILE).open("ab")
    with file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HarnessError(
                f"another command works on study {name}",
                str(folder),
                "wait for it, or take another name with --name",
            ) from error
        try:
            yield folder
        finally:
            if not (folder / RECORD_FILE).exists():  # the study was refused
                shutil.rmtree(folder, ignore_errors=True)


def is_worked_on(settings: Settings, name: str) -> bool:
    """Return whether a command works on a study right now."""
    try:
        file = (studies_folder(settings) / name / LOCK_FILE).open("rb")
    except OSError:
        return False
    with file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
