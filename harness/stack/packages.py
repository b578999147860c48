"""Install memcached: the system's package as root, or its files into the cache as any other user."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from harness.errors import HarnessError
from harness.settings import Settings
from harness.stack.memcached import find_memcached, own_copy
from harness.system.disk import writing_into_cache
from harness.system.installing import install
from harness.system.private_files import private_folder

# Debian starts the service of a newly installed package at once and at every boot.
# A policy file prevents the immediate start, unless the administrator already has one; the last lines undo both.
# Errors from a service manager that does not know the service are ignored.
_SCRIPT = """
set -eu
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\\nexit 101\\n' > "$policy"
    chmod 755 "$policy"
fi
install() {
    apt-get install --yes --no-install-recommends -o DPkg::Lock::Timeout=120 memcached
}
install || { apt-get update -o DPkg::Lock::Timeout=120 && install; }
if [ -d /run/systemd/system ]; then
    systemctl disable --now memcached.service || true
elif [ -x /etc/init.d/memcached ]; then
    /etc/init.d/memcached stop || true
fi
"""


# Unpacked packages find their libraries beside them.
_START = """#!/bin/sh
folder=${0%/*}
LD_LIBRARY_PATH=$folder/LIBRARIES${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
exec "$folder/usr/bin/memcached" "$@"
"""
_REMEDY = "ask an administrator to install the package memcached"


def ensure_memcached(settings: Settings, log: Callable[[str], None]) -> Path:
    """Return the memcached program; install it if it is missing and this system has apt-get.

    Root installs the system's package. Any other user unpacks it into the cache, and changes nothing else.

    Args:
        settings: The project's settings.
        log: Called with progress.

    Raises:
        HarnessError: The system has no apt-get, or the installation failed.
    """
    try:
        return find_memcached(settings)
    except HarnessError as error:
        if shutil.which("apt-get") is None:
            raise HarnessError(
                "memcached is not installed, and this system has no apt-get",
                remedy="install the package memcached with your system's package manager",
            ) from error
    if os.geteuid() == 0:
        log("installing memcached with apt-get (once)")
        return _install()
    log(f"unpacking Debian's memcached into {own_copy(settings).parent} (once)")
    return _unpack(settings, log)


def _install() -> Path:
    command = ["env", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1", "sh", "-c", _SCRIPT]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("E:")]
        raise HarnessError(
            "apt-get could not install memcached",
            "; ".join(errors[-2:]) or f"exit status {done.returncode}",
            "run `apt-get update && apt-get install memcached` as root to see why",
        )
    return find_memcached()


def _unpack(settings: Settings, log: Callable[[str], None]) -> Path:
    """Download memcached and what it lacks, checked by apt-get as always, into folders of this user's own."""
    target = own_copy(settings).parent
    with (
        writing_into_cache(settings.cache_dir),
        tempfile.TemporaryDirectory(prefix="fetch-", dir=private_folder(settings.cache_dir)) as temporary,
    ):
        folder, unpacked = Path(temporary), Path(temporary) / "unpacked"
        for part in ("lists/partial", "cache/archives/partial", "unpacked"):
            (folder / part).mkdir(parents=True)
        own = ("Debug::NoLocking=1", f"Dir::State::lists={folder / 'lists'}", f"Dir::Cache={folder / 'cache'}")
        apt = ["apt-get", "--quiet", *(f"--option={each}" for each in own)]
        doing = "downloading memcached"
        install([*apt, "update"], doing, remedy=_REMEDY, log=log)
        command = [*apt, "install", "--yes", "--no-install-recommends", "--download-only", "memcached"]
        install(command, doing, remedy=_REMEDY, log=log)
        for package in (folder / "cache" / "archives").glob("*.deb"):
            install(["dpkg-deb", "--extract", package, unpacked], f"unpacking {package.name}", remedy=_REMEDY, log=log)
        start = unpacked / "memcached"
        libraries = next(iter(unpacked.glob("usr/lib/*-linux-gnu*")), unpacked / "usr" / "lib")
        start.write_text(_START.replace("LIBRARIES", str(libraries.relative_to(unpacked))), encoding="ascii")
        start.chmod(0o755)
        with suppress(OSError):  # another process was quicker
            unpacked.replace(target)
    return find_memcached(settings)
