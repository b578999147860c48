"""Install PyTorch's CPU build into the harness's own environment, for tests and `harness predict`.

    python -m harness.stack.pytorch        # called by `make`; exits with 1 if no CPU build is available

Functions have their own: see `harness.runtimes.libraries`.
"""

import importlib.util
import subprocess
import sys
from collections.abc import Callable

from harness.errors import HarnessError
from harness.runtimes.pip import PipFailed, pip
from harness.runtimes.torch_build import (
    INDEX_VARIABLE,
    REQUIREMENTS,
    check_build,
    download_size,
    index_options,
    planned,
)


def is_installed() -> bool:
    """Return whether the harness itself can import PyTorch, without importing it."""
    return importlib.util.find_spec("torch") is not None


def ensure_pytorch(log: Callable[[str], None]) -> None:
    """Install PyTorch's CPU build into the harness's own environment, unless it is installed.

    Args:
        log: Called with the size before the download.

    Raises:
        HarnessError: pip finds no CPU build, or cannot install it.
    """
    if is_installed():
        return
    options = [*index_options(), "--requirement", str(REQUIREMENTS)]
    log("PyTorch is needed and not installed: asking pip for its CPU build")
    try:
        packages = check_build(planned(None, options))
        log(f"installing PyTorch (once): {download_size(packages)}")
        # Compiling all of torch takes longer than installing it; the import compiles the modules that it uses.
        pip(None, ["install", "--quiet", "--no-compile", *options])
    except PipFailed as error:
        raise HarnessError(
            "pip cannot install PyTorch",
            error.what,
            f"install torch into {sys.prefix} yourself, or set {INDEX_VARIABLE}; see {REQUIREMENTS}",
        ) from error
    importlib.invalidate_caches()
    done = subprocess.run([sys.executable, "-c", "import torch"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HarnessError(
            "PyTorch was installed, but cannot be imported",
            (done.stderr.strip().splitlines() or ["it printed nothing"])[-1],
            f"see {REQUIREMENTS}",
        )


def main() -> None:
    """Install PyTorch if it is missing; exit with 1 and the reason if that fails."""
    try:
        ensure_pytorch(lambda line: print(f"setup: {line}", file=sys.stderr))  # noqa: T201 - `make` prints progress
    except HarnessError as error:
        sys.exit(f"setup: {error}")


if __name__ == "__main__":
    main()
