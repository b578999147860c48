"""The syntax of a saved file, as the Python of the function's runtime reads it."""

import subprocess
import warnings
from pathlib import Path

from harness.runtimes.environments import environment_folder, python_in
from harness.settings import OWN_RUNTIME

_CHECK = """
import sys
try:
    with open(sys.argv[1], "rb") as file:
        compile(file.read(), sys.argv[1], "exec", dont_inherit=True)
except SyntaxError as error:
    print(f":{error.lineno or 1}: {error.msg}", end="")
except ValueError as error:  # a null byte, before Python 3.11.4
    print(f":1: {error}", end="")
"""
_CHECK_WITHIN_S = 10.0


def syntax_problem(path: Path, runtime: str, cache: Path) -> str:
    """Return the line and the text of a file's syntax error, such as `:7: invalid syntax`; empty if it has none.

    A file that cannot be read has none: whoever packages it reports that.

    Args:
        path: A Python file.
        runtime: AWS's name of the runtime.
        cache: The user's cache folder, with the runtimes.
    """
    python = python_in(environment_folder(cache, runtime))
    if runtime == OWN_RUNTIME or not python.exists():
        return _compiled_here(path)
    command = [str(python), "-I", "-S", "-W", "ignore", "-c", _CHECK, str(path)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_CHECK_WITHIN_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace")


def can_check(runtime: str, cache: Path) -> bool:
    """Return whether the Python of a runtime is there, so that `syntax_problem` does not have to use ours.

    Args:
        runtime: AWS's name of the runtime.
        cache: The user's cache folder, with the runtimes.
    """
    return runtime == OWN_RUNTIME or python_in(environment_folder(cache, runtime)).exists()


def _compiled_here(path: Path) -> str:
    try:
        code = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(code, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        return f":{error.lineno or 1}: {error.msg}"
    except ValueError as error:
        return f":1: {error}"  # a null byte, before Python 3.11.4
    except OSError:
        return ""
    return ""
