"""AWS's Runtime Interface Emulator (RIE), from a pinned wheel into a per-user cache, verified by SHA-256."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from harness.bundle import BUNDLE
from harness.errors import HarnessError
from harness.settings import Settings
from harness.system.disk import writing_into_cache
from harness.system.private_files import private_folder

REQUIREMENTS = BUNDLE / "requirements" / "rie.txt"
DOWNLOAD_TIMEOUT_S = 300


class _Binary(NamedTuple):
    member: str
    sha256: str


_X86_64 = _Binary(
    "samcli/local/rapid/aws-lambda-rie-x86_64",
    "6b1e686e62ab2baf5759c412c4864276ef2a88b094fca53ec070637ccba9b9a5",
)
_ARM64 = _Binary(
    "samcli/local/rapid/aws-lambda-rie-arm64",
    "ec2e5d09633d853834c008b1ef264bf834b258a94d551d2b2074966494b39a21",
)
# The kernel's names for Lambda's two architectures.
_BINARIES = {"x86_64": _X86_64, "aarch64": _ARM64, "arm64": _ARM64}


def rie_path(settings: Settings) -> Path:
    """Return the emulator for this machine after verifying its checksum.

    Raises:
        HarnessError: It has not been fetched, cannot be executed, or is damaged.
    """
    binary = _binary()
    path = _cached(settings, binary)
    if not path.is_file():
        raise HarnessError(
            "the Lambda Runtime Interface Emulator has not been fetched",
            str(path),
            "run `harness doctor --fix`",
        )
    if not os.access(path, os.X_OK, effective_ids=True):
        raise HarnessError(
            f"the Lambda Runtime Interface Emulator cannot be executed{_why_not(path)}",
            str(path),
            "set XDG_CACHE_HOME to a folder that allows execution, then run `harness doctor --fix`",
        )
    # Hashing the file takes 10 ms, less than one failed start of a damaged emulator.
    if _sha256(path) != binary.sha256:
        raise HarnessError(
            "the Lambda Runtime Interface Emulator is damaged: its SHA-256 is not the pinned one",
            str(path),
            "run `harness doctor --fix`, which fetches it again",
        )
    return path


def ensure_rie(settings: Settings, log: Callable[[str], None]) -> Path:
    """Return the emulator for this machine; fetch it if it was never fetched.

    Raises:
        HarnessError: It cannot be fetched or executed, or is damaged.
    """
    if not _cached(settings, _binary()).is_file():
        log("fetching AWS's Lambda Runtime Interface Emulator (once; 20 MB)")
        fetch_rie(settings)
    return rie_path(settings)


def fetch_rie(settings: Settings) -> Path:
    """Fetch the emulator unless an intact one is cached; any number of processes may do so at the same time.

    Raises:
        HarnessError: pip could not download the wheel, or its content differs from the pinned one.
    """
    binary = _binary()
    path = _cached(settings, binary)
    if path.is_file() and _sha256(path) == binary.sha256:
        return path
    with writing_into_cache(settings.cache_dir):
        private_folder(settings.cache_dir)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Build it next to its final place, so that the last step is a rename within one file system.
        temporary = tempfile.TemporaryDirectory(prefix="fetch-", dir=path.parent)
    with temporary as folder:
        wheel = _download_wheel(Path(folder))
        extracted = Path(folder) / path.name
        _extract(wheel, binary.member, extracted)
        if _sha256(extracted) != binary.sha256:
            raise HarnessError(
                "the Lambda Runtime Interface Emulator in the wheel does not have the pinned SHA-256",
                f"{binary.member} in {wheel.name}",
                f"requirements/rie.txt and {Path(__file__).name} must name the same version",
            )
        extracted.chmod(0o755)
        extracted.replace(path)
    return path


def _why_not(program: Path) -> str:
    mounted_so = os.statvfs(program).f_flag & os.ST_NOEXEC
    return ": its file system is mounted noexec" if mounted_so else ": it is not executable for this user"


def _binary() -> _Binary:
    machine = platform.machine()
    if machine not in _BINARIES:
        raise HarnessError(
            f"no Lambda Runtime Interface Emulator for this machine's architecture: {machine}",
            remedy="Lambda runs on x86_64 and arm64 (aarch64) only",
        )
    return _BINARIES[machine]


def _cached(settings: Settings, binary: _Binary) -> Path:
    return settings.cache_dir / "rie" / binary.sha256[:16] / "aws-lambda-rie"


def _download_wheel(folder: Path) -> Path:
    pip = [sys.executable, "-I", "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
    download = [
        "download",
        "--no-deps",
        "--require-hashes",
        "--requirement",
        str(REQUIREMENTS),
        "--dest",
        str(folder),
    ]
    try:
        done = subprocess.run(
            [*pip, *download], capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise HarnessError(
            f"pip took longer than {DOWNLOAD_TIMEOUT_S} s to download the Lambda Runtime Interface Emulator",
            str(REQUIREMENTS),
            "check the network, then run the command again",
        ) from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise HarnessError(
            "pip could not download the Lambda Runtime Interface Emulator",
            "; ".join(errors[:2]) or f"{REQUIREMENTS}: pip ended with {done.returncode}",
            "check the network or pip's index settings, then run the command again",
        )
    return wheels[0]


def _extract(wheel: Path, member: str, target: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file)
    except (KeyError, zipfile.BadZipFile) as error:
        raise HarnessError(f"{wheel.name} holds no {member}", str(REQUIREMENTS), "pin a version that does") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
