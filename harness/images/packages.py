"""Download Python packages for images on the host, where the user's pip is configured, for the images' Linux.

Builds use no package index: the build context holds the wheels, or a folder of installed packages.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.errors import HarnessError

# Wheels for Debian bookworm, with C library 2.36; pip must also be given every older tag that is compatible.
_MANYLINUX = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_24", "manylinux_2_17", "manylinux2014")
# The kernel's names for the engine's two architectures.
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def download_wheels(requirements: Path, folder: Path, architecture: str, *options: str) -> None:
    """Download wheels for Python 3.11.

    Args:
        requirements: The requirements file.
        folder: The folder for the wheels.
        architecture: `amd64` or `arm64`.
        options: Further options for pip.

    Raises:
        HarnessError: A wheel cannot be downloaded.
    """
    command = [*_pip("download", architecture), "--only-binary", ":all:", *options]
    run([*command, "--dest", str(folder), "--requirement", str(requirements)], _what("download", requirements))


def install_packages(requirements: Path, folder: Path, architecture: str) -> None:
    """Install pinned and hashed packages for Python 3.11 into a folder; the file must list all dependencies.

    Args:
        requirements: The requirements file.
        folder: The target folder, which a PYTHONPATH will contain.
        architecture: `amd64` or `arm64`.

    Raises:
        HarnessError: A package cannot be installed.
    """
    # No --only-binary: pip builds the packages that are published as source only; all of them are pure Python.
    command = [*_pip("install", architecture), "--no-compile", "--no-deps", "--require-hashes"]
    run([*command, "--target", str(folder), "--requirement", str(requirements)], _what("install", requirements))
    # Any user in the image must be able to read the files, even if this user's umask is strict.
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _pip(verb: str, architecture: str) -> list[str]:
    pip = [sys.executable, "-I", "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", verb]
    python = ["--implementation", "cp", "--python-version", "3.11"]
    abis = [option for abi in ("cp311", "abi3", "none") for option in ("--abi", abi)]
    platforms = [option for kind in _MANYLINUX for option in ("--platform", f"{kind}_{_MACHINES[architecture]}")]
    return [*pip, *python, *abis, *platforms]


def _what(verb: str, requirements: Path) -> str:
    return f"pip cannot {verb} the packages of {requirements.name}"


def run(command: Sequence[str], what: str) -> None:
    """Run a program that needs the network and disk space.

    Raises:
        HarnessError: The program failed; the message begins with `what` and quotes the program's last errors.
    """
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    output = f"{done.stdout}\n{done.stderr}"
    if "No space left" in output:
        raise HarnessError(f"{what}: no room left on the disk", tempfile.gettempdir(), "free some space, or set TMPDIR")
    errors = [line for line in output.splitlines() if line.startswith(("E:", "ERROR", "W:"))]
    raise HarnessError(
        what,
        "; ".join(errors[-2:])[:300] or f"{command[0]} exited with status {done.returncode}",
        "check the network and run this again",
    )
