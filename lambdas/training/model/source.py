"""The source of a user's own model: the file or package beside the worker, and its checksum.

Every rank compares it with the job's `model_sha256`, so that a rank that comes back computes with the same code as the
others, even if the function was updated since.
"""

import hashlib
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from training.errors import InputError

_COMPILED = "__pycache__"


def source_of(model: str) -> Path | None:
    """Return the file, or the folder of the package, that holds a model's module; None if there is none.

    Args:
        model: The model as a job names it, `module:Name`.
    """
    top = model.partition(":")[0].partition(".")[0]
    spec = find_spec(top)
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin else None


def source_sha256(path: Path) -> str:
    """Return one SHA-256 over the names and contents of a file, or of all files of a package.

    Args:
        path: The file or the folder; compiled code in it does not count.
    """
    return files_sha256([path])


def files_sha256(paths: Iterable[Path]) -> str:
    """Return one SHA-256 over the names and contents of files, and of all files of folders.

    Args:
        paths: The files and folders; compiled code in them does not count.
    """
    digest = hashlib.sha256()
    for name, file in sorted(entry for path in paths for entry in _files(path)):
        content = file.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def check_source(model: str, expected: str) -> None:
    """Compare the model's source beside this worker with that of the run.

    Args:
        model: The model as a job names it.
        expected: The checksum of its source when the run began.

    Raises:
        InputError: The worker has no such module, or another one.
    """
    path = source_of(model)
    if path is None:
        raise InputError(f"model={model}: this function's package has no module {model.partition(':')[0]}")
    if (found := source_sha256(path)) != expected:
        raise InputError(
            f"model={model}: this function has another {path.name} (sha256 {found[:12]}) than the run began with "
            f"({expected[:12]}); it was updated since"
        )


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    if path.is_file():
        yield path.name, path
        return
    for file in path.rglob("*"):
        inner = file.relative_to(path.parent)
        if file.is_file() and _COMPILED not in inner.parts:
            yield inner.as_posix(), file
