"""Linux processes: life tied to a parent, adoption of orphans, a clean environment.

`harness.system.process_identity` explains how a process is identified.
"""

import ctypes
import os
import platform
import pwd
import signal
from collections.abc import Sequence
from pathlib import Path

from harness.errors import HarnessError
from harness.system.process_identity import (
    ProcessIdentity,
    bound_to_parent,
    identity_of,
    is_alive,
    own_identity,
    setpriv,
)

__all__ = [
    "CREDENTIALS",
    "NOT_LINUX_REMEDY",
    "REGION",
    "ProcessIdentity",
    "adopt_orphans",
    "as_nobody_bound_to_parent",
    "clean_environment",
    "die_with_parent",
    "identity_of",
    "is_alive",
    "own_identity",
    "require_linux",
]

REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}

NOT_LINUX_REMEDY = "use container mode (Docker), or a Linux machine"

# https://man7.org/linux/man-pages/man2/prctl.2.html
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_TIMERSLACK = 29

_INHERITED = {
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"),
    *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"),
    *("PYENV_ROOT", "UV_PYTHON_INSTALL_DIR"),
    # https://docs.docker.com/reference/cli/docker/#environment-variables
    *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "DOCKER_API_VERSION"),
}
_INHERITED_KINDS = ("LC_",)


def require_linux() -> None:
    """Check that this system has /proc and can signal the death of a parent.

    Raises:
        HarnessError: This is not Linux.
    """
    if platform.system() != "Linux":
        raise HarnessError(
            f"processes can be started and watched only on Linux; this is {platform.system()}",
            remedy=NOT_LINUX_REMEDY,
        )


def adopt_orphans() -> None:
    """Make this process the parent of its orphaned descendants, so that none escapes a sweep."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> bool:
    """Ask the kernel for SIGTERM when the thread that started this process ends.

    Args:
        parent: The pid of the expected parent.

    Returns:
        False if that parent has already ended, so that no signal will come.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    return os.getppid() == parent


def wake_on_time() -> None:
    """Let the kernel wake this thread when a wait is over, and not up to 50 us later to save wake-ups."""
    _prctl(_PR_SET_TIMERSLACK, 1)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl({option}): {os.strerror(error)}")


def as_nobody_bound_to_parent(command: Sequence[str | Path]) -> list[str]:
    """Return the command as `bound_to_parent` does, run as `nobody` if this process is root.

    A change of user clears the parent-death signal, so `setpriv` must set it after the change, in the same call.
    """
    if os.geteuid() != 0:
        return bound_to_parent(command)
    nobody = pwd.getpwnam("nobody")
    identity = ["--reuid", str(nobody.pw_uid), "--regid", str(nobody.pw_gid), "--clear-groups"]
    return [setpriv(), *identity, "--pdeathsig", "KILL", "--", *map(str, command)]


def inherited_environment() -> dict[str, str]:
    """Return the variables that a stack's supervisor inherits from the shell, to find programs, files and the engine.

    The others are left out: a process that runs for days must not hold the shell's credentials, tokens and passwords,
    and Python's own settings would change how it runs.
    """
    return {
        name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith(_INHERITED_KINDS)
    }


def _interpreters() -> dict[str, str]:
    """Return the variables by which pyenv and uv find the user's interpreters, which both look for below the home.

    https://docs.astral.sh/uv/reference/environment/#uv_python_install_dir
    """
    home = Path(os.environ.get("HOME", "/"))
    data = os.environ.get("XDG_DATA_HOME") or str(home / ".local" / "share")
    defaults = {"PYENV_ROOT": str(home / ".pyenv"), "UV_PYTHON_INSTALL_DIR": f"{data}/uv/python"}
    return {name: os.environ.get(name) or default for name, default in defaults.items()}


def clean_environment(directory: Path) -> dict[str, str]:
    """Return an environment that hides the user's settings (proxies, AWS profiles, Python settings) from a child.

    Args:
        directory: The stack's own folder, which serves as home and holds temporary files.
    """
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(directory),
        **_interpreters(),
        "TMPDIR": str(directory / "tmp"),
        "LANG": "C.UTF-8",
        **CREDENTIALS,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
