"""Read a TOML file that the harness ships under a name, or that the user gives by its path."""

import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from harness.errors import HarnessError

# A hundred times the largest that is shipped.
_LARGEST_BYTES = 1_000_000
_LONGEST_SHOWN = 80


def shipped_names(folder: Path) -> list[str]:
    """Return the names of the files in a folder of the package, sorted."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def find_file(name: str, folder: Path, kind: str, beside: Path | None = None) -> Path:
    """Return the file that a name or a path stands for.

    Args:
        name: The name of a file in `folder`, or a path.
        folder: The folder of the package with the shipped files.
        kind: What the file is, for messages: `preset`.
        beside: A file; a relative path is looked for beside it. None for the working directory.

    Raises:
        HarnessError: There is no such file.
    """
    if name in shipped_names(folder):
        return folder / f"{name}.toml"
    path = Path(name).expanduser()
    path = beside.parent / path if beside is not None else path
    try:
        is_file, exists = bool(name) and path.is_file(), bool(name) and path.exists()
    except OSError as error:
        raise HarnessError(
            f"{kind} {name[:80]!r}... cannot be read: {error.strerror}", "", "name a TOML file"
        ) from error
    if is_file:
        return path
    if exists:
        what = "a folder" if path.is_dir() else "no regular file"
        raise HarnessError(f"{kind} {name!r} is {what}", str(path), "name a TOML file")
    raise HarnessError(
        f"there is no {kind} {name!r}",
        "" if beside is None else str(beside),
        f"{describe_known(f'{kind}s', name, shipped_names(folder))}; or give the path of a TOML file",
    )


def read_toml(path: Path, kind: str) -> dict[str, Any]:
    """Return the content of a TOML file.

    Args:
        path: The file.
        kind: What the file is, for messages.

    Raises:
        HarnessError: It cannot be read, or is no TOML.
    """
    try:
        if (size := path.stat().st_size) > _LARGEST_BYTES:
            raise HarnessError(f"the {kind} has {size:,} bytes, more than 1 MB", str(path), "name a TOML file")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HarnessError(f"the {kind} cannot be read: {error.strerror}", str(path), "see docs/presets.md") from error
    except UnicodeDecodeError as error:
        raise HarnessError(f"the {kind} is no text in UTF-8", str(path), "name a TOML file") from error
    except RecursionError as error:
        raise HarnessError(f"the {kind} nests too deeply", str(path), "see docs/presets.md") from error
    except tomllib.TOMLDecodeError as error:
        raise HarnessError(f"the {kind} is no TOML: {error}", str(path), "see docs/presets.md") from error


def describe_known(kinds: str, name: str, known: Iterable[str]) -> str:
    """Return a remedy for a name that is not known: the closest one, and all of them."""
    names = list(known)
    close = get_close_matches(name, names, n=1)
    listed = f"known {kinds}: {', '.join(names) or 'none'}"
    return f"did you mean {close[0]}? {listed}" if close else listed
