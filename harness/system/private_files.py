"""Files and folders that belong to their owner alone, whatever the umask: state, logs, sockets, credentials."""

import os
import stat
from pathlib import Path

PRIVATE_FOLDER, PRIVATE_FILE, PRIVATE_UMASK = 0o700, 0o600, 0o077


def private_folder(path: Path) -> Path:
    """Return a folder that only its owner may enter; one that others could enter is repaired.

    Raises:
        OSError: It is not there and cannot be made.
    """
    if not path.is_dir():
        path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    found = path.stat()
    # Only its owner can repair it; an existing folder of another user's is none of ours.
    if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & PRIVATE_UMASK:
        path.chmod(stat.S_IMODE(found.st_mode) & PRIVATE_FOLDER)
    return path


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    # What an earlier process of this number left has a mode of its own.
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "wb") as file:
        file.write(content)
    temporary.replace(path)
