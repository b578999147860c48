"""A function's libraries, built for Lambda's platform by pip, once for each content.

    <cache>/libraries/<digest>/         what `pip install --target` makes: the same for package, image and process

The digest covers the requirements, the runtime and the platform. Without pinned versions, a build stays as it was.
"""

import csv
import hashlib
import io
import os
import platform
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from harness.errors import HarnessError
from harness.runtimes.environments import ensure_environment, python_in
from harness.runtimes.folders import made_once
from harness.runtimes.mark import libraries_folder
from harness.runtimes.pip import PipFailed, pip
from harness.runtimes.requirements import Requirements, requirements_of
from harness.runtimes.torch_build import check_build, download_size, index_options, planned
from harness.settings import FunctionSettings
from harness.system.private_files import write_private

Log = Callable[[str], None]

# Change it if libraries are built in another way.
_RECIPE = "1"
# C libraries: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html.
# Python up to 3.11 runs on Amazon Linux 2, later ones on Amazon Linux 2023. An image may stand on a newer base.
_ON_AMAZON_LINUX_2 = {"python3.8", "python3.9", "python3.10", "python3.11"}
_GLIBC_OF_AMAZON_LINUX_2, _GLIBC_OF_AMAZON_LINUX_2023 = 26, 34
_OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_OLDEST_GLIBC = 5
_TORCH = {"torch", "torchvision", "torchaudio"}


def ensure_libraries(function: FunctionSettings, cache: Path, *, log: Log) -> list[Path]:
    """Return the folders of a function's libraries, one for each requirements file; build those that are missing.

    Args:
        function: The function's table in harness.toml.
        cache: The user's cache folder.
        log: Called with the progress if libraries are built.

    Raises:
        HarnessError: The requirements cannot be read, or pip cannot resolve them.
    """
    glibc = _glibc_of(function)
    return [_ensure(each, function.python, glibc, cache, log) for each in requirements_of(function) if each.lines]


class Sizes(msgspec.Struct, frozen=True):
    """What a build adds to a deployment package, in bytes.

    Attributes:
        unzipped: Its files.
        zipped: Its files, compressed.
    """

    unzipped: int
    zipped: int


def sizes_of(libraries: Path) -> Sizes:
    """Return the sizes of a build, which are measured once."""
    file = libraries.with_name(f"{libraries.name}.json")
    try:
        return msgspec.json.decode(file.read_bytes(), type=Sizes)
    except (OSError, msgspec.DecodeError):
        contents = [path.read_bytes() for path in files_of(libraries)]
        sizes = Sizes(sum(map(len, contents)), sum(len(zlib.compress(content)) for content in contents))
        write_private(file, msgspec.json.encode(sizes))
        return sizes


def files_of(libraries: Path) -> Iterator[Path]:
    """Yield the files of a build; compiled code is left by whoever imports it, and is no part of it."""
    for folder, folders, names in os.walk(libraries):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        yield from (Path(folder) / name for name in sorted(names))


def _glibc_of(function: FunctionSettings) -> int:
    """Return the minor version of the newest C library 2 that the function's wheels may need, here and on Lambda."""
    old = function.python in _ON_AMAZON_LINUX_2 and not function.image
    there = _GLIBC_OF_AMAZON_LINUX_2 if old else _GLIBC_OF_AMAZON_LINUX_2023
    here = re.fullmatch(r"2\.(\d+)", platform.libc_ver()[1])
    return min(there, int(here[1])) if here else there


def unbuilt_packages(function: FunctionSettings, cache: Path) -> set[str]:
    """Return the names of the packages that a function asks for and that would have to be built first.

    Args:
        function: The function's table in harness.toml.
        cache: The user's cache folder.

    Raises:
        HarnessError: The requirements cannot be read.
    """
    glibc, names = _glibc_of(function), set[str]()
    for each in requirements_of(function):
        if each.lines and not _folder_of(each, function.python, glibc, cache).is_dir():
            names |= each.names
    return names


def _folder_of(requirements: Requirements, runtime: str, glibc: int, cache: Path) -> Path:
    key = "\0".join((_RECIPE, requirements.sha256, runtime, platform.machine(), str(glibc)))
    return libraries_folder(cache) / hashlib.sha256(key.encode()).hexdigest()[:32]


def _ensure(requirements: Requirements, runtime: str, glibc: int, cache: Path, log: Log) -> Path:
    folder = _folder_of(requirements, runtime, glibc, cache)
    with made_once(folder, folder.is_dir, log) as partial:
        if partial is not None:
            log(f"building the libraries of {requirements.path} for {runtime} (once)")
            _build(requirements, runtime, glibc, partial, cache, log)
    return folder


def _build(requirements: Requirements, runtime: str, glibc: int, folder: Path, cache: Path, log: Log) -> None:
    python = python_in(ensure_environment(cache, runtime, log=log))
    with _file(requirements) as file:
        options = [*_platform(runtime, glibc), "--target", str(folder), "--requirement", str(file)]
        try:
            if requirements.names & _TORCH:
                options += index_options()
                packages = check_build(planned(python, ["--ignore-installed", *options]))
                log(f"installing PyTorch: {download_size(packages)}")
            pip(python, ["install", "--no-compile", "--progress-bar", "off", *options], log=log)
        except PipFailed as error:
            raise HarnessError(
                f"the libraries cannot be built: {error.what}",
                str(requirements.path),
                build_remedy(error.what, f"{runtime} on {platform.machine()} with glibc 2.{glibc} or older"),
            ) from error
    _tidy(folder)


def build_remedy(reason: str, place: str) -> str:
    """Return what to do about a build that failed.

    Args:
        reason: pip's reason.
        place: For what Lambda's wheels are made, in words.
    """
    if reason.startswith("Invalid requirement"):
        return "correct that line: name==version, or another form of https://peps.python.org/pep-0508/"
    if "(from versions: none)" in reason:
        return (
            f"check the package's name and the network; if both are right, it has no wheel for {place}, as Lambda needs"
        )
    return f"name versions that have a wheel for {place}, as Lambda has; and check the network"


def _platform(runtime: str, glibc: int) -> list[str]:
    names = [name for minor in range(glibc, _OLDEST_GLIBC - 1, -1) for name in _names_of(minor)]
    platforms = [option for name in names for option in ("--platform", f"{name}_{platform.machine()}")]
    version = runtime.removeprefix("python")
    return [*platforms, "--implementation", "cp", "--python-version", version, "--only-binary", ":all:"]


def _names_of(minor: int) -> list[str]:
    return [f"manylinux_2_{minor}", *([_OLD_NAMES[minor]] if minor in _OLD_NAMES else [])]


@contextmanager
def _file(requirements: Requirements) -> Iterator[Path]:
    """Provide the requirements as a file that pip can read."""
    if not requirements.is_pyproject:
        yield requirements.path
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text("\n".join(requirements.lines), encoding="utf-8")
        yield file


def _tidy(folder: Path) -> None:
    """Make equal requirements give equal files on every machine: scripts name this one's interpreter."""
    shutil.rmtree(folder / "bin", ignore_errors=True)
    for record in folder.glob("*.dist-info/RECORD"):
        rows = csv.reader(io.StringIO(record.read_text(encoding="utf-8")))
        kept = io.StringIO()
        csv.writer(kept, lineterminator="\n").writerows(row for row in rows if row and not _is_script(row[0]))
        record.write_text(kept.getvalue(), encoding="utf-8")
    for path in folder.rglob("*"):
        if not path.is_symlink():
            program = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if program else 0o644)


def _is_script(name: str) -> bool:
    return name.startswith(("../", "bin/"))
