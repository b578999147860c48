"""debugpy for functions, from its pinned package into a folder of its own in the user's cache.

    FOLDER/debugpy/            the package
    FOLDER/sitecustomize.py    `gateway/runtime/debugger.py`, which a container's Python runs first
    FOLDER/post_mortem.py      what that file needs beside it

The folder's name follows from its content: a stack is told it when it starts, and it is made when somebody debugs.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness.bundle import BUNDLE
from harness.errors import HarnessError
from harness.settings import Settings
from harness.system.disk import writing_into_cache
from harness.system.private_files import private_folder

REQUIREMENTS = BUNDLE / "requirements" / "debugpy.txt"
INSTALL_TIMEOUT_S = 300
_RUNTIME = Path(__file__).parents[1] / "gateway" / "runtime"
_SCRIPTS = {"debugger.py": "sitecustomize.py", "post_mortem.py": "post_mortem.py"}


def debugpy_folder(settings: Settings) -> Path:
    """Return the folder, which may not have been made yet."""
    digest = hashlib.sha256(sys.version.encode())
    for path in (REQUIREMENTS, *(_RUNTIME / name for name in _SCRIPTS)):
        digest.update(path.read_bytes())
    return settings.cache_dir / "debugpy" / digest.hexdigest()[:16]


def ensure_debugpy(settings: Settings, log: Callable[[str], None]) -> Path:
    """Make the folder unless it is there; any number of processes may do so at the same time.

    Args:
        settings: The project's settings.
        log: Called before pip is asked.

    Raises:
        HarnessError: pip cannot install debugpy.
    """
    folder = debugpy_folder(settings)
    if folder.is_dir():
        return folder
    log("installing debugpy for functions (once)")
    with writing_into_cache(settings.cache_dir):
        private_folder(settings.cache_dir)
        folder.parent.mkdir(parents=True, exist_ok=True)
        making = tempfile.TemporaryDirectory(prefix="make-", dir=folder.parent)
    with making as temporary:
        made = Path(temporary) / folder.name
        _install(made)
        for name, copy in _SCRIPTS.items():
            shutil.copyfile(_RUNTIME / name, made / copy)
        # Lambda's user in a container is another one.
        for path in (made, *made.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    return folder


def _install(target: Path) -> None:
    pip = [sys.executable, "-I", "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
    install = ["install", "--no-deps", "--require-hashes", "--requirement", str(REQUIREMENTS), "--target", str(target)]
    try:
        done = subprocess.run([*pip, *install], capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise HarnessError(
            f"pip took longer than {INSTALL_TIMEOUT_S} s to install debugpy", str(REQUIREMENTS), "check the network"
        ) from error
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise HarnessError(
            "pip could not install debugpy",
            "; ".join(errors[:2]) or f"{REQUIREMENTS}: pip ended with {done.returncode}",
            "check the network or pip's index settings",
        )
