"""A function's requirements: a requirements.txt or pyproject.toml, read as far as their content must be known.

A Python file may hold its own, in the block of https://packaging.python.org/en/latest/specifications/inline-script-metadata/
(PEP 723).
"""

import hashlib
import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.settings import FunctionSettings

_INCLUDE = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)")
# https://pip.pypa.io/en/stable/reference/requirements-file-format/: what follows the first word is of no interest here.
_LOCAL = re.compile(r"^\s*(?:-e|--editable)\b|^\s*(?:\.{0,2}/|file:)|@\s*file:")
# The expression is the specification's.
_INLINE = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
_NAME = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(frozen=True)
class Requirements:
    """The packages that a file asks for.

    Attributes:
        path: The file.
        lines: Its lines, with those of the files that it includes; of a pyproject.toml or a Python file, its
            dependencies.
    """

    path: Path
    lines: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Return the hash of what is asked for; comments do not count."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()

    @property
    def names(self) -> set[str]:
        """Return the names of the packages, normalised."""
        found = (_NAME.match(line) for line in self.lines)
        return {re.sub(r"[-_.]+", "-", name[1]).lower() for name in found if name}

    @property
    def is_pyproject(self) -> bool:
        """Return whether pip cannot read the file itself."""
        return self.path.suffix in {".toml", ".py"}


def requirements_of(function: FunctionSettings) -> list[Requirements]:
    """Return what a function's libraries are built from: what its table names, or what lies beside its handler.

    Raises:
        HarnessError: A file does not exist, or cannot be read.
    """
    if function.requirements is not None:
        remedy = "correct `requirements` in harness.toml"
        return [read_requirements(Path(name), remedy) for name in function.requirements]
    for name in ("requirements.txt", "pyproject.toml"):
        # A folder is not passed over: its name says that it is meant. `Path.exists` would raise for a closed `source`.
        if os.path.exists(own := function.source / name):  # noqa: PTH110
            remedy = "make it a file that can be read, or name others with `requirements` in harness.toml"
            return [read_requirements(own, remedy)]
    return []


def has_inline_requirements(path: Path) -> bool:
    """Return whether a Python file has a block of metadata with its dependencies.

    Raises:
        HarnessError: The file cannot be read, or the block is not TOML.
    """
    return "dependencies" in _inline(path, "correct its block `# /// script`")


def read_requirements(path: Path, remedy: str) -> Requirements:
    """Return what a file asks for.

    Args:
        path: The file.
        remedy: What to do if there is no such file.

    Raises:
        HarnessError: The file cannot be read, or asks for what is on this machine only.
    """
    if path.suffix == ".toml":
        lines = _dependencies(path, remedy)
    elif path.suffix == ".py":
        lines = [" ".join(str(line).split()) for line in _inline(path, remedy).get("dependencies", [])]
    else:
        lines = list(_lines(path, (), remedy))
    for line in lines:
        if _LOCAL.match(line):
            raise HarnessError(
                f"{line!r} asks for a folder or file of this machine",
                str(path),
                "package the folder with `include`, or name a version of a published package",
            )
    return Requirements(path, tuple(lines))


def _lines(path: Path, within: tuple[Path, ...], remedy: str) -> Iterator[str]:
    """Yield the lines that count, in place of an include those of the file."""
    if path in within:
        raise HarnessError(f"{path} includes itself", str(within[-1]), "remove one of the two lines")
    for number, line in enumerate(_text(path, remedy).splitlines(), 1):
        content = re.sub(r"(^|\s)#.*", "", line).strip()
        included = _INCLUDE.match(content)
        if included:
            yield content.partition(included[1])[0]  # what is a constraint must stay one
            mend = f"correct `{content}`, line {number} of {path}"
            yield from _lines(path.parent / included[1], (*within, path), mend)
        elif content:
            yield content


def _dependencies(path: Path, remedy: str) -> list[str]:
    try:
        project = tomllib.loads(_text(path, remedy)).get("project", {})
    except tomllib.TOMLDecodeError as error:
        raise HarnessError(f"{path.name} is not TOML: {error}", str(path), "correct the line named above") from error
    if "dependencies" in project.get("dynamic", ()):
        raise HarnessError(
            "the dependencies are dynamic, which only a build could tell",
            str(path),
            'list them in the file, or name a file with `requirements = "requirements.txt"` in harness.toml',
        )
    return [" ".join(line.split()) for line in project.get("dependencies", [])]


def _inline(path: Path, remedy: str) -> dict[str, Any]:
    found = [block for block in _INLINE.finditer(_text(path, remedy)) if block["type"] == "script"]
    lines = [line.removeprefix("#").removeprefix(" ") for block in found[:1] for line in block["content"].splitlines()]
    try:
        return tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError as error:
        raise HarnessError(f"the block `# /// script` is not TOML: {error}", str(path), "correct the block") from error


def _text(path: Path, remedy: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise HarnessError(f"the requirements cannot be read: {error.strerror}", str(path), remedy) from error
    except UnicodeDecodeError as error:
        raise HarnessError(
            f"the requirements are not UTF-8: {error.reason}", str(path), "save them as UTF-8"
        ) from error
