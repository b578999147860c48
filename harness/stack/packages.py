"""Install memcached from the system's packages, if the user may."""

import os
import shutil
import subprocess
from pathlib import Path

from harness.errors import HarnessError
from harness.stack.memcached import find_memcached

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


def install_memcached() -> Path:
    """Install memcached with apt-get, and make sure that it does not run as a service.

    Returns:
        The program.

    Raises:
        HarnessError: The system has no apt-get, this user may not install packages, or the installation failed.
    """
    if shutil.which("apt-get") is None:
        raise HarnessError(
            "memcached is not installed, and this system has no apt-get",
            remedy="install the package memcached with your system's package manager",
        )
    noninteractive = ["env", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1"]
    command = [*_as_root(), *noninteractive, "sh", "-c", _SCRIPT]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("E:")]
        raise HarnessError(
            "apt-get could not install memcached",
            "; ".join(errors[-2:]) or f"exit status {done.returncode}",
            "run `apt-get update && apt-get install memcached` as root to see why",
        )
    return find_memcached()


def _as_root() -> list[str]:
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is not None:
        allowed = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
        if allowed:
            return ["sudo", "-n"]
    raise HarnessError(
        "memcached is not installed, and installing it requires root or passwordless sudo",
        remedy="ask an administrator to run: apt-get install memcached",
    )
