"""A real memcached as a child process."""

import os
import resource
import shutil
from pathlib import Path

from harness.errors import HarnessError
from harness.settings import Settings
from harness.stack.service import Service
from harness.system.cache_names import NAME
from harness.system.ports import LOOPBACK
from harness.system.probes import answers_memcached
from harness.system.process_life import as_nobody_bound_to_parent

# Debian installs it into /usr/bin; other systems use folders that may be missing from a user's PATH.
USUAL_FOLDERS = ("/usr/bin", "/usr/sbin", "/usr/local/bin")

MEMORY_MB = 256
MOST_CONNECTIONS = 4096


def find_memcached(settings: Settings | None = None) -> Path:
    """Return the memcached program: the system's, or the copy in the user's cache.

    Raises:
        HarnessError: There is none.
    """
    search = os.pathsep.join((os.environ.get("PATH", os.defpath), *USUAL_FOLDERS))
    found = shutil.which("memcached", path=search)
    if found is not None:
        return Path(found)
    if settings is not None and os.access(own_copy(settings), os.X_OK):
        return own_copy(settings)
    raise HarnessError("memcached is not installed", f"looked in {search}", "run `harness doctor --fix`")


def own_copy(settings: Settings) -> Path:
    """Return the program in the user's cache, whether or not it exists."""
    return settings.cache_dir / "memcached" / "memcached"


def memcached_command(program: Path, port: int | str) -> list[str]:
    """Return the command line of a Memcached on loopback TCP only and never as root."""
    command = [program, "-l", LOOPBACK, "-p", port, "-U", 0, "-m", MEMORY_MB, "-c", _connections()]
    return as_nobody_bound_to_parent([str(part) for part in command])


def memcached_service(program: Path, port: int, name: str = NAME) -> Service:
    """Return Memcached; several are the nodes of one cache, and each has a name of its own."""
    return Service(
        name=name,
        command=memcached_command(program, port),
        ready=lambda: answers_memcached(port),
        restarts=True,
    )


def _connections() -> int:
    # Memcached refuses to start if its descriptor limit is below its connection limit.
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if hard_limit == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, hard_limit)
