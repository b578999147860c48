"""The environment that stands for one of AWS's runtimes: its Python, awslambdaric, boto3, pip, and nothing else.

    <cache>/runtimes/python3.12-<digest of requirements/lambda-base.txt>/     a virtual environment

Runtimes older than Python 3.11 have requirements of their own, since newer awslambdaric and boto3 left them behind.
It is made once for each user, under a lock, and appears whole or not at all.
"""

import hashlib
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness.bundle import BUNDLE
from harness.errors import HarnessError
from harness.runtimes.folders import made_once
from harness.runtimes.interpreters import find_interpreter
from harness.runtimes.pip import PipFailed, pip

Log = Callable[[str], None]

_FOLDER = BUNDLE / "requirements"
# Change it if environments are made in another way.
_RECIPE = "1"
# https://pip.pypa.io/en/stable/installation/#compatibility
_OLDEST_OF_PIP = (3, 10)
# Compiles what every runtime imports, and proves that it can be imported.
_FIRST_USE = """
import awslambdaric.__main__, boto3
[boto3.client(name, region_name='us-east-1') for name in ('s3', 'lambda')]
"""


def requirements_of(runtime: str) -> Path:
    """Return the file that names what a runtime has."""
    own = _FOLDER / f"lambda-base-{runtime.removeprefix('python')}.txt"
    return own if own.is_file() else _FOLDER / "lambda-base.txt"


def environment_folder(cache: Path, runtime: str) -> Path:
    """Return the folder of a runtime's environment, whether or not it has been made.

    Args:
        cache: The user's cache folder.
        runtime: AWS's name of the runtime, such as `python3.12`.
    """
    digest = hashlib.sha256(_RECIPE.encode() + requirements_of(runtime).read_bytes()).hexdigest()
    return cache / "runtimes" / f"{runtime}-{digest[:16]}"


def python_in(environment: Path) -> Path:
    """Return the interpreter of an environment."""
    return environment / "bin" / "python3"


def is_made(cache: Path, runtime: str) -> bool:
    """Return whether a runtime's environment has been made, and its interpreter is still there."""
    return python_in(environment_folder(cache, runtime)).exists()


def ensure_environment(cache: Path, runtime: str, *, log: Log) -> Path:
    """Return a runtime's environment; make it if it is missing.

    Args:
        cache: The user's cache folder.
        runtime: AWS's name of the runtime.
        log: Called with the progress if it is made.

    Raises:
        HarnessError: This machine lacks the interpreter, or pip could not install the packages.
    """
    folder = environment_folder(cache, runtime)
    # Look at the interpreter, too: it may have been removed or upgraded since.
    with made_once(folder, lambda: python_in(folder).exists(), log) as partial:
        if partial is not None:
            interpreter = find_interpreter(runtime)
            log(f"making the environment of {runtime} (once), with {interpreter}")
            _make(interpreter, partial, runtime, log)
    return folder


def _make(interpreter: Path, folder: Path, runtime: str, log: Log) -> None:
    # Without the interpreter's own pip: Debian's venv module needs a further package for it.
    _run([str(interpreter), "-I", "-m", "venv", "--without-pip", str(folder)], runtime)
    version = runtime.removeprefix("python")
    # pip supports the Pythons of its own time, and installs for older ones only from outside.
    outside = tuple(map(int, version.split("."))) < _OLDEST_OF_PIP
    site = folder / "lib" / runtime / "site-packages"
    target = ["--target", str(site), "--python-version", version, "--implementation", "cp"] if outside else []
    options = ["install", "--progress-bar", "off", "--no-compile", "--require-hashes", "--only-binary", ":all:"]
    try:
        pip(
            None if outside else python_in(folder),
            [*options, *target, "--requirement", str(requirements_of(runtime))],
            log=log,
        )
    except PipFailed as error:
        raise HarnessError(
            f"the environment of {runtime} cannot be made: {error.what}",
            str(requirements_of(runtime)),
            "check the network or pip's index settings, then run `harness doctor --fix`",
        ) from error
    _run([str(python_in(folder)), "-I", "-c", _FIRST_USE], runtime)


def _run(command: list[str], runtime: str) -> None:
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(command, cwd=empty, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-1:]
        raise HarnessError(
            f"the environment of {runtime} cannot be made: {''.join(last) or f'status {done.returncode}'}",
            " ".join(command[:4]),
            f"repair that interpreter, or install another {runtime}",
        )
