"""What a function needs before it runs: made by `prepare(client)`, of a file or as a Python function."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.errors import HarnessError

ClientOf = Callable[[str], Any]
# Makes what the function needs; `client("s3")` gives a boto3 client.
Prepare = Callable[[ClientOf], object]


def prepare_with(prepare: Path | Prepare | None, client: ClientOf) -> None:
    """Run `prepare`.

    Args:
        prepare: A file with a function of that name, the function, or None for nothing to prepare.
        client: Gives a boto3 client of a service.

    Raises:
        HarnessError: The file has no such function, or it fails.
    """
    if prepare is None:
        return
    where = str(prepare) if isinstance(prepare, Path) else getattr(prepare, "__name__", "prepare")
    call = _function_in(prepare) if isinstance(prepare, Path) else prepare
    if call is None:
        return
    try:
        call(client)
    except (Exception, SystemExit) as error:
        raise HarnessError(
            "prepare(client) failed", f"{where}: {type(error).__name__}: {error}", "correct it; it runs once per stage"
        ) from error


def module_at(path: Path) -> object:
    """Return the module in a file, which need not be importable by a name.

    Raises:
        HarnessError: There is no such file, or it cannot be imported.
    """
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise HarnessError("the file of --prepare is no Python file", str(path), "give a file NAME.py that exists")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise HarnessError(
            "the file of --prepare cannot be imported", f"{path}: {type(error).__name__}: {error}", "correct it"
        ) from error
    return module


def _function_in(path: Path) -> Prepare | None:
    """Return `prepare` of a file; None if it has none, because it may have an invariant only."""
    found = getattr(module_at(path), "prepare", None)
    if found is not None and not callable(found):
        raise HarnessError("prepare is no function", str(path), "write `def prepare(client): ...`")
    prepare: Prepare | None = found
    return prepare
