"""Find the interpreter of a runtime on this machine: by its name on the PATH, in pyenv, or by uv."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from harness.errors import HarnessError
from harness.settings import RUNTIMES

PROGRAM_TIMEOUT_S = 20


def own_runtime() -> str:
    """Return the runtime of the Python that runs the harness, or the nearest one that Lambda has."""
    own = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return own if own in RUNTIMES else RUNTIMES[-1]


def find_interpreter(runtime: str) -> Path:
    """Return the interpreter of a runtime, such as `python3.12`, as an absolute path.

    Raises:
        HarnessError: This machine has none; the message says how to get it.
    """
    for candidate in _candidates(runtime):
        if _is(candidate, runtime):
            return candidate
    version = runtime.removeprefix("python")
    raise HarnessError(
        f"{runtime} is not on this machine",
        "looked for it by name on the PATH, in pyenv, and by uv",
        f"install it: `uv python install {version}`, `pyenv install {version}`, or your system's package {runtime}",
    )


def _candidates(runtime: str) -> Iterator[Path]:
    # The Python below the harness's own environment needs no search.
    if runtime == f"python{sys.version_info[0]}.{sys.version_info[1]}":
        yield Path(getattr(sys, "_base_executable", "") or sys.executable)
    for folder in os.get_exec_path():
        # An environment's `python3.12` belongs to whoever has activated it, and goes away with it.
        if not os.path.exists(Path(folder).parent / "pyvenv.cfg") and (found := shutil.which(runtime, path=folder)):  # noqa: PTH110
            yield Path(found).absolute()
    yield from _of_pyenv(runtime)
    yield from _of_uv(runtime)


def _of_pyenv(runtime: str) -> Iterator[Path]:
    """Yield pyenv's interpreters, the newest first, whether or not its shims may run them."""
    root = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")  # noqa: PTH111 - without a home, it stays as it is
    version = runtime.removeprefix("python")
    folders = [path for path in Path(root).glob(f"versions/{version}.*") if re.fullmatch(r"[\d.]+", path.name)]
    for folder in sorted(folders, key=lambda path: tuple(map(int, path.name.split("."))), reverse=True):
        yield folder / "bin" / runtime


def _of_uv(runtime: str) -> Iterator[Path]:
    uv = shutil.which("uv")
    if uv is None:
        return
    find = [uv, "python", "find", "--no-project", "--no-python-downloads", "--system", runtime.removeprefix("python")]
    if found := _output(find):
        yield Path(found)


def _is(program: Path, runtime: str) -> bool:
    """Return whether a program is this Python; one of pyenv's shims exists and runs nothing."""
    ask = "import sys; print('python%d.%d' % sys.version_info[:2])"
    return program.exists() and _output([str(program), "-I", "-S", "-c", ask]) == runtime


def _output(command: list[str]) -> str:
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROGRAM_TIMEOUT_S,
            check=False,
        )
        return done.stdout.strip() if done.returncode == 0 else ""
    return ""
