"""The projects that `harness init` makes: the files below `templates/`, copied.

    templates/common/       in every project
    templates/NAME/         in a project of that template

A name that begins with `dot_` becomes a hidden one: setuptools packs no hidden files, and git would obey a .gitignore.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from harness.errors import HarnessError
from harness.project.reference import SCHEMA

Template = Literal["function", "pipeline", "training"]

TEMPLATES: MappingProxyType[Template, str] = MappingProxyType(
    {
        "function": "one function",
        "pipeline": "S3, two functions, SQS",
        "training": "a distributed training",
    }
)
# Where the first line of each harness.toml finds its schema.
SCHEMA_IN_PROJECT = ".vscode/harness.schema.json"

_FOLDER = Path(__file__).with_name("templates")
_COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files_of(template: Template) -> dict[str, bytes]:
    """Return the files of a project by their path in it."""
    found = {SCHEMA_IN_PROJECT: SCHEMA.read_bytes()}
    for folder in (_FOLDER / "common", _FOLDER / template):
        found |= {_name(path.relative_to(folder)): path.read_bytes() for path in _below(folder)}
    return dict(sorted(found.items()))


def commands_of(template: Template) -> list[str]:
    """Return the commands that the project's README shows."""
    readme = (_FOLDER / template / "README.md").read_text(encoding="utf-8")
    return "".join(_COMMANDS.findall(readme)).splitlines()


def make_project(folder: Path, files: dict[str, bytes], *, keep: bool = False) -> dict[str, bool]:
    """Write a project's files; existing files are never overwritten.

    Args:
        folder: Its folder, which is created if it does not exist.
        files: Their content by their path in the folder.
        keep: Whether to write only the files that are not there yet.

    Returns:
        For each file whether it was written.

    Raises:
        HarnessError: A file exists, and nothing was written; or one cannot be written, and the others were removed.
    """
    existing = [name for name in files if os.path.lexists(folder / name)]
    if existing and not keep:
        raise HarnessError(
            f"{', '.join(existing)} {'exist' if len(existing) > 1 else 'exists'} already; nothing was written",
            str(folder.resolve()),
            "choose another folder, or write only the files that are not there yet with --keep",
        )
    written: list[Path] = []
    try:
        for name, content in files.items():
            if name not in existing:
                _write(folder / name, content, written)
    except OSError as error:
        for path in reversed(written):
            _remove(path)
        raise HarnessError(
            f"{error.filename or folder} cannot be written: {error.strerror}", remedy="choose another folder"
        ) from error
    return {name: name not in existing for name in files}


def write_schema(folder: Path) -> Path:
    """Write the schema of this version's harness.toml into a project, in the place of another version's.

    Raises:
        HarnessError: It cannot be written.
    """
    path = folder / SCHEMA_IN_PROJECT
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(SCHEMA.read_bytes())
    except OSError as error:
        raise HarnessError(f"{error.filename or path} cannot be written: {error.strerror}") from error
    return path


def _below(folder: Path) -> Iterator[Path]:
    # Somebody's Python may have compiled a function of a template.
    return (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def _name(path: Path) -> str:
    return "/".join(re.sub("^dot_", ".", part) for part in path.parts)


def _write(path: Path, content: bytes, written: list[Path]) -> None:
    """Write a new file and its folders, and add each to the list as soon as it exists."""
    for folder in reversed(path.parents):
        if not folder.is_dir():
            folder.mkdir()
            written.append(folder)
    with path.open("xb") as file:
        written.append(path)
        file.write(content)


def _remove(path: Path) -> None:
    with suppress(OSError):  # somebody else may have put something into the folder
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
