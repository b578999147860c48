"""The code of a run: the first rank to join records its checksum, and a rank with other code does not take part.

    rank 0   joins ---- writes code.json
    rank 1   joins ---- code.json is there, and is what it has itself
    the function is updated; rank 1 dies, and its next try is the new code
    rank 1   joins ---- code.json is there, and is something else: the run ends with one clear error

Every rank must compute the same bits, so one run has one code, from its first rank to its last link, whoever invokes
it: the coordinator, Lambda's retry, the link before, or a peer.
The record is in S3, not in the job: no caller knows what a function consists of when it starts, nor need it know.
"""

import platform
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np

from training.errors import CodeChanged
from training.model.source import files_sha256
from training.run.results import RunFolder, StorageError

RECORD = "code.json"


class RunCode(msgspec.Struct, frozen=True):
    """`code.json`: what the bits of a run depend on.

    Attributes:
        sha256: Checksum of this library's files and of the modules beside it.
        python: Python's version.
        numpy: NumPy's version.
    """

    sha256: str
    python: str
    numpy: str

    def __str__(self) -> str:
        return f"sha256 {self.sha256[:12]}, Python {self.python}, NumPy {self.numpy}"


@lru_cache
def own_code() -> RunCode:
    """Return the code that this function runs; its files do not change while it does."""
    return code_in(Path(__file__).parents[2])


def code_in(root: Path) -> RunCode:
    """Return the code below the root of a function: the folder `training`, and the modules beside it."""
    return RunCode(
        files_sha256([root / "training", *sorted(root.glob("*.py"))]), platform.python_version(), np.__version__
    )


def check_code(folder: RunFolder, names: list[str], own: RunCode) -> None:
    """Compare this rank's code with the run's; record it if no rank has joined before.

    Args:
        folder: The run's folder.
        names: A recent listing of it, which saves a request.
        own: This rank's code.

    Raises:
        CodeChanged: The run began with other code.
        StorageError: S3 fails.
    """
    if RECORD not in names and folder.create_json(RECORD, own):
        return
    first = folder.read_as(RECORD, RunCode)
    if first is None:
        raise StorageError(f"{folder.location(RECORD)} was there a moment ago and is gone")
    if first != own:
        raise CodeChanged(
            f"this function's code ({own}) is not what the run began with ({first}): the function was updated since. "
            "Start the run again, and update functions between runs"
        )
