"""Files and folders that only their owner can access, whatever the umask: state, logs, sockets, credentials."""

import os
import stat
from pathlib import Path

PRIVATE_FOLDER, PRIVATE_FILE, PRIVATE_UMASK = 0o700, 0o600, 0o077


def private_folder(path: Path) -> Path:
    """Return a folder that only its owner may enter, creating it or removing the access of others.

    Raises:
        OSError: The folder does not exist and cannot be created.
    """
    if not path.is_dir():
        path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    found = path.stat()
    # Only the owner can change the mode; another user's folder is left alone.
    if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & PRIVATE_UMASK:
        path.chmod(stat.S_IMODE(found.st_mode) & PRIVATE_FOLDER)
    return path


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    # A file left by an earlier process with the same pid may have another mode.
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "wb") as file:
        file.write(content)
    temporary.replace(path)
