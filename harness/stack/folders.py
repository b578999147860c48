"""The folders of stacks below `.harness/stacks/`, and the removal of folders whose owner was killed.

Invariant: no process removes a folder whose `owner.json` names another living process.
"""

import logging
import shutil
import tempfile
import time
from pathlib import Path

import msgspec

from harness.errors import HarnessError
from harness.gateway.scratch import clean_up_scratch, remove_scratch
from harness.stack.state import StackState, load_state, state_file
from harness.system import records
from harness.system.disk import writing_into
from harness.system.private_files import private_folder
from harness.system.process_labels import end_stack, stack_label
from harness.system.process_life import ProcessIdentity, is_alive, own_identity

logger = logging.getLogger(__name__)

PLAN_FILE = "plan.json"
LOG_FILE = "supervisor.log"

# A folder without an owner is either being created right now, or its creator died while creating it.
OWNERLESS_GRACE_S = 60.0


def make_folder(state_dir: Path) -> Path:
    """Create a stack's folder, owned by this process until a supervisor takes it over.

    Raises:
        HarnessError: The project's folder is not writable.
    """
    stacks = state_dir / "stacks"
    with writing_into(state_dir):
        open_state_dir(state_dir)
        private_folder(stacks)
        directory = Path(tempfile.mkdtemp(prefix="s-", dir=stacks))
        try:
            take_over(directory)
            (directory / "tmp").mkdir()
        except OSError:
            remove_folder(directory)
            raise
    return directory


def open_state_dir(state_dir: Path) -> None:
    """Create the state folder if missing, with a `.gitignore` that makes git ignore all of it."""
    private_folder(state_dir)
    ignored = state_dir / ".gitignore"
    if not ignored.exists():
        ignored.write_text("*\n", encoding="ascii")


def take_over(directory: Path) -> None:
    """Make this process the owner of the folder."""
    records.save(own_identity(), _owner_file(directory))


def owner_of(directory: Path) -> ProcessIdentity | None:
    """Return the folder's owner; None if it is unknown."""
    try:
        return records.decode(_owner_file(directory).read_bytes(), ProcessIdentity)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def remove_folder(directory: Path) -> None:
    """Remove the folder and its functions' temporary files; safe if another process does so at the same time."""
    remove_scratch(stack_label(directory))
    shutil.rmtree(directory, ignore_errors=True)


def keep_logs(directory: Path) -> Path:
    """Copy the logs out of a folder that is about to be removed, replacing earlier copies; return the new folder."""
    kept = directory.parent.parent / "kept-logs"
    shutil.rmtree(kept, ignore_errors=True)
    private_folder(kept)
    for log in directory.glob("*.log"):
        shutil.copy(log, kept)
    return kept


def is_shared(state: StackState) -> bool:
    """Return whether `harness up` started the stack, rather than a run."""
    try:
        shared = load_state(state_file(state.directory.parent.parent))
    except HarnessError:
        return True  # only `harness up` writes that file
    return shared is not None and shared.supervisor == state.supervisor


def clean_up_after_the_killed(state_dir: Path) -> None:
    """Remove the state file and the folders of supervisors that were killed before they could do so."""
    shared = state_file(state_dir)
    try:
        state = load_state(shared)
    except HarnessError as error:
        if shared.is_dir():
            raise
        # None of our commands wrote this content; a stack that is up keeps a copy of its state.
        logger.warning("%s", error)
        shared.unlink(missing_ok=True)
        state = None
    if state is not None and not is_alive(state.supervisor):
        shared.unlink(missing_ok=True)
    for directory in (state_dir / "stacks").glob("s-*"):
        if _is_abandoned(directory):
            logger.info("removing the leftovers of a killed stack in %s", directory)
            end_stack(stack_label(directory))
            remove_folder(directory)
    clean_up_scratch()


def _is_abandoned(directory: Path) -> bool:
    owner = owner_of(directory)
    if owner is not None:
        return not is_alive(owner)
    try:
        return time.time() - directory.stat().st_mtime > OWNERLESS_GRACE_S
    except FileNotFoundError:
        return False


def _owner_file(directory: Path) -> Path:
    return directory / "owner.json"
