"""The stacks' own folders below `.harness/stacks/`, and the removal of those whose owner was killed.

Invariant: a folder whose `owner.json` names a living process is never removed by another.
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

# A folder without an owner is being made at this moment, or its maker died while it made it.
OWNERLESS_GRACE_S = 60.0


def make_folder(state_dir: Path) -> Path:
    """Makes a stack's folder, owned by this process until a supervisor takes it over.

    Raises:
        HarnessError: The project's folder cannot be written to.
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
    """Make the state folder when it is not there, so that git ignores all of it, whatever the project ignores."""
    private_folder(state_dir)
    ignored = state_dir / ".gitignore"
    if not ignored.exists():
        ignored.write_text("*\n", encoding="ascii")


def take_over(directory: Path) -> None:
    """Makes this process the folder's owner."""
    records.save(own_identity(), _owner_file(directory))


def owner_of(directory: Path) -> ProcessIdentity | None:
    """The folder's owner; None when nothing tells."""
    try:
        return records.decode(_owner_file(directory).read_bytes(), ProcessIdentity)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def remove_folder(directory: Path) -> None:
    """Remove the folder and that of its functions' temporary files; somebody else may do so at the same time."""
    remove_scratch(stack_label(directory))
    shutil.rmtree(directory, ignore_errors=True)


def keep_logs(directory: Path) -> Path:
    """Copies the logs out of a folder that is about to go, over those kept before; returns where to."""
    kept = directory.parent.parent / "kept-logs"
    shutil.rmtree(kept, ignore_errors=True)
    private_folder(kept)
    for log in directory.glob("*.log"):
        shutil.copy(log, kept)
    return kept


def is_shared(state: StackState) -> bool:
    """Return whether a stack is the one that `harness up` started, rather than a run's own."""
    try:
        shared = load_state(state_file(state.directory.parent.parent))
    except HarnessError:
        return True  # nobody else writes that file
    return shared is not None and shared.supervisor == state.supervisor


def clean_up_after_the_killed(state_dir: Path) -> None:
    """Removes the state file and the folders of supervisors that were killed before they could."""
    shared = state_file(state_dir)
    try:
        state = load_state(shared)
    except HarnessError as error:
        if shared.is_dir():
            raise
        # No command of ours wrote that; a stack that is up has a copy.
        logger.warning("%s", error)
        shared.unlink(missing_ok=True)
        state = None
    if state is not None and not is_alive(state.supervisor):
        shared.unlink(missing_ok=True)
    for directory in (state_dir / "stacks").glob("s-*"):
        if _is_abandoned(directory):
            logger.info("removing what a killed stack left in %s", directory)
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
