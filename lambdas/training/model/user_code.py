"""Users' code, run: errors that name its file and line, and global random generators that begin at a seed."""

import hashlib
import random
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from training.errors import InputError

_LIBRARY = Path(__file__).resolve().parents[1]
# Global generators belong to the process: in tests, ranks are threads.
RANDOM_LOCK = threading.RLock()


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Have the global random generators of Python, NumPy and PyTorch begin at a seed, and put them back afterwards."""
    with RANDOM_LOCK:
        torch: Any = sys.modules.get("torch")
        ours, theirs = random.getstate(), np.random.get_state()  # noqa: NPY002 - users' code draws from it
        of_torch = None if torch is None else torch.default_generator.get_state()
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        if torch is not None:
            torch.default_generator.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(ours)
            np.random.set_state(theirs)  # noqa: NPY002
            if torch is not None:
                torch.default_generator.set_state(of_torch)


def step_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of a rank's training step, from 0 to 2**63 - 1, the same whenever the step is computed."""
    digest = hashlib.sha256(f"{seed} {step} {rank}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


@contextmanager
def user_code(name: str, what: str) -> Iterator[None]:
    """Turn an error of a user's code into one that stops the run and names the line.

    Args:
        name: The model's name.
        what: What happened to the model, as "was made".

    Raises:
        InputError: The block raised.
    """
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        kind, words = type(error).__name__, " ".join(str(error).split())
        raise InputError(f"model={name} raised {kind} when it {what}{place_of(error, name)}: {words}") from error


def place_of(error: BaseException, name: str) -> str:
    """Return the last line of the user's code that an error passed, as " (my_model.py line 17)".

    Args:
        error: The error.
        name: The model's name, as `my_model:Net`. The last line in its module counts: the libraries that it calls lie
            beside it in a package. Without any such line, the last one outside of Python's and our own code counts.
    """
    top = name.partition(":")[0].partition(".")[0]
    frames = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    for is_users in (lambda path: path.stem == top or top in path.parts, _is_no_library):
        for path, line in reversed(frames):
            if is_users(path):
                return f" ({path.name} line {line})"
    return ""


def _is_no_library(path: Path) -> bool:
    of_python = any(part in str(path) for part in ("site-packages/", "<frozen", "<string>", "/lib/python"))
    return not of_python and not path.is_relative_to(_LIBRARY)
