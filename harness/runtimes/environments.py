"""The environment that stands for one of AWS's runtimes: its Python, awslambdaric, boto3, and nothing else.

    <cache>/runtimes/python3.12-<digest of requirements/lambda-base.txt>/     a virtual environment

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

REQUIREMENTS = BUNDLE / "requirements" / "lambda-base.txt"
# Change it if environments are made in another way.
_RECIPE = "1"
# Compiles what every runtime imports, and proves that it can be imported.
_FIRST_USE = """
import awslambdaric.__main__, boto3
[boto3.client(name, region_name='us-east-1') for name in ('s3', 'lambda')]
"""


def environment_folder(cache: Path, runtime: str) -> Path:
    """Return the folder of a runtime's environment, whether or not it has been made.

    Args:
        cache: The user's cache folder.
        runtime: AWS's name of the runtime, such as `python3.12`.
    """
    digest = hashlib.sha256(_RECIPE.encode() + REQUIREMENTS.read_bytes()).hexdigest()
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
    # Without pip, which Lambda's runtimes lack, and Debian's venv module does without its package then.
    _run([str(interpreter), "-I", "-m", "venv", "--without-pip", str(folder)], runtime)
    options = ["install", "--progress-bar", "off", "--no-compile", "--require-hashes", "--only-binary", ":all:"]
    try:
        pip(python_in(folder), [*options, "--requirement", str(REQUIREMENTS)], log=log)
    except PipFailed as error:
        raise HarnessError(
            f"the environment of {runtime} cannot be made: {error.what}",
            str(REQUIREMENTS),
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
