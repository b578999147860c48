"""Python packages for images: fetched here, on the host, where the user's pip is set up, for the images' Linux.

Builds reach no package index: they find wheels, or a folder of installed packages, in what is sent to the engine.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.errors import HarnessError

# Wheels for Debian bookworm, whose C library is 2.36; pip wants to be told every older kind that will do as well.
_MANYLINUX = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_24", "manylinux_2_17", "manylinux2014")
# The kernel's names for the engine's two architectures.
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def download_wheels(requirements: Path, folder: Path, architecture: str, *options: str) -> None:
    """Downloads wheels for Python 3.11.

    Args:
        requirements: What to download.
        folder: Where the wheels go.
        architecture: `amd64` or `arm64`.
        options: Further options of pip's.

    Raises:
        HarnessError: One cannot be had.
    """
    command = [*_pip("download", architecture), "--only-binary", ":all:", *options]
    run([*command, "--dest", str(folder), "--requirement", str(requirements)], _what("download", requirements))


def install_packages(requirements: Path, folder: Path, architecture: str) -> None:
    """Installs pinned and hashed packages for Python 3.11 into a folder; all they need must be among them.

    Args:
        requirements: What to install.
        folder: Where to; what a PYTHONPATH names later.
        architecture: `amd64` or `arm64`.

    Raises:
        HarnessError: One cannot be had.
    """
    # Without --only-binary: a package that is published as source alone is pure Python here, and pip builds it.
    command = [*_pip("install", architecture), "--no-compile", "--no-deps", "--require-hashes"]
    run([*command, "--target", str(folder), "--requirement", str(requirements)], _what("install", requirements))
    # Whoever runs in the image may read them, however private this user's files are.
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
    """Runs a program that needs the network and room.

    Raises:
        HarnessError: It failed; begins with `what` and tells the program's last errors.
    """
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    output = f"{done.stdout}\n{done.stderr}"
    if "No space left" in output:
        raise HarnessError(f"{what}: no room left on the disk", tempfile.gettempdir(), "make room, or set TMPDIR")
    errors = [line for line in output.splitlines() if line.startswith(("E:", "ERROR", "W:"))]
    raise HarnessError(
        what,
        "; ".join(errors[-2:])[:300] or f"{command[0]} ended with {done.returncode}",
        "check the network and run this again",
    )
