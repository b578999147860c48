"""Deployment packages: a function's folder, zipped reproducibly so that equal content gives equal bytes.

A package has the files with their mode, 755 for programs and 644 for others, and symbolic links.
A link within the folder stays a link, as with `zip -y`; a link that leads outside is replaced by its content.
Environments, repositories, caches and the harness's own state are left out: they do not run on Lambda, and they
change while the function does not. So are the tests and settings of a project, where a function's folder is its root.
"""

import os
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pathspec import GitIgnoreSpec

from harness.errors import HarnessError
from harness.gateway import limits
from harness.runtimes.libraries import files_of, sizes_of
from harness.runtimes.mark import package_comment

# The mark of an environment, whatever its name: https://docs.python.org/3/library/venv.html, and conda's.
_ENVIRONMENT = ("pyvenv.cfg", "conda-meta")
_LEFT_OUT = {
    ".DS_Store",
    ".dockerignore",
    ".git",
    ".harness",
    ".hg",
    ".hypothesis",
    ".idea",
    ".ipynb_checkpoints",
    ".mypy_cache",
    ".nox",
    ".pytest_cache",
    ".ruff_cache",
    ".svn",
    ".tox",
    ".venv",
    ".vscode",
    "Dockerfile",
    "__pycache__",
}
# Of a project's root, in the notation of .gitignore; a function's `exclude` may put them back.
_OF_A_PROJECT = (
    "/harness.toml",
    "/tests/",
    "/test/",
    "/test_*.py",
    "/conftest.py",
    "/pytest.ini",
    "/.github/",
    "/.gitignore",
    "/requirements-dev.txt",
)
_PROJECT_FILE = "harness.toml"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_FILE, _PROGRAM, _LINK, _FOLDER = 0o100644, 0o100755, 0o120777, 0o040755
_HEAVIEST = 4
_NEARLY_ALL = 0.9


@dataclass(frozen=True, slots=True)
class Packed:
    """One entry of a package.

    Attributes:
        mode: Its type and permissions, as in `st_mode`.
        path: The file, the link, or the empty folder.
        size: Its size in bytes.
    """

    mode: int
    path: Path
    size: int

    @property
    def is_link(self) -> bool:
        """Return whether it stays a link in the package."""
        return self.mode == _LINK

    @property
    def is_folder(self) -> bool:
        """Return whether it is an empty folder."""
        return self.mode == _FOLDER

    def content(self) -> bytes:
        """Return its bytes; those of a link are its target."""
        if self.is_link:
            return os.fsencode(self.path.readlink())
        return b"" if self.is_folder else self.path.read_bytes()


def packed_files(folder: Path, exclude: Sequence[str] | None = None, name: str = "") -> dict[str, Packed]:
    """Return the entries of a folder by their name in the package.

    Args:
        folder: The folder.
        exclude: Patterns of what is left out, as in .gitignore; they match names in the package. None if the user has
            no way to leave something out.
        name: The folder's name in the package; empty if it is the package's root.

    Raises:
        HarnessError: The folder does not exist, has an entry that cannot be packed, or a pattern is not one.
    """
    check_folder(folder, "include" if name else "source")
    prefix = f"{name}/" if name else ""
    try:
        walk = _Walk(_left_out(folder, exclude or ()))
        return dict(walk.entries(folder, prefix, Path(os.path.realpath(folder)), ()))
    except OSError as error:
        raise _unreadable(error, folder, None if exclude is None else prefix) from error


def packed_file(file: Path) -> dict[str, Packed]:
    """Return a single file as it is packed under its own name, at the root.

    Raises:
        HarnessError: It cannot be read, or its name cannot be packed.
    """
    _check_name(file.name, file)
    try:
        status = file.stat()
    except OSError as error:
        raise not_packed(error, file) from error
    return {file.name: Packed(_PROGRAM if status.st_mode & stat.S_IXUSR else _FILE, file, status.st_size)}


def check_folder(folder: Path, key: str) -> None:
    """Check that a folder exists.

    Args:
        folder: The folder.
        key: The key of harness.toml that names it.

    Raises:
        HarnessError: It does not exist, is a file, or is in a folder that may not be searched.
    """
    remedy = f"correct `{key}` in harness.toml"
    try:
        if not stat.S_ISDIR(folder.stat().st_mode):
            raise HarnessError(f"{folder} is a file, not a folder", remedy=f"{remedy}: it takes folders")
    except (FileNotFoundError, NotADirectoryError) as error:
        if any(part.startswith("~") for part in folder.parts):
            remedy += ": ~ is not your home there, so write its path out"
        kind = "layer" if key == "layers" else "function folder"
        raise HarnessError(f"{kind} {folder} does not exist", remedy=remedy) from error
    except OSError as error:
        raise not_packed(error, folder) from error


def _left_out(folder: Path, exclude: Sequence[str]) -> GitIgnoreSpec:
    # `Path.is_file` would raise for a closed folder, and name a file that need not be there.
    own = _OF_A_PROJECT if os.path.isfile(folder / _PROJECT_FILE) else ()  # noqa: PTH113
    for pattern in exclude:
        try:
            GitIgnoreSpec.from_lines([pattern])
        except ValueError as error:
            raise HarnessError(
                f"`exclude` has an invalid pattern: {pattern!r}", remedy="write it as in .gitignore, such as `data/`"
            ) from error
    return GitIgnoreSpec.from_lines([*own, *exclude])


def is_packed(path: Path) -> bool:
    """Return whether a file or a folder within a function's folder is packed, going by its name and its content."""
    return path.name not in _LEFT_OUT and not _is_environment(path)


def zipped(
    files: Mapping[str, Packed], libraries: Sequence[Path] = (), layers: Sequence[Path] = (), *, limited: bool = True
) -> bytes:
    """Return the package.

    Args:
        files: Its entries by name.
        libraries: Folders of libraries, which count as if they were in it; its comment names them.
        layers: Folders of layers, which count unzipped; its comment names them, too.
        limited: Whether Lambda's limits for packages apply.

    Raises:
        HarnessError: The package is larger than Lambda accepts, or a file cannot be read.
    """
    added = [sizes_of(folder) for folder in libraries] if limited else []
    unzipped = sum(entry.size for entry in files.values()) + sum(sizes.unzipped for sizes in added)
    unzipped += sum(sizes_of(folder).unzipped for folder in layers)
    if unzipped >= limits.UNZIPPED_BYTES and limited:
        raise _too_large("unzipped", unzipped, limits.UNZIPPED_BYTES, {**_entries_of([*layers, *libraries]), **files})
    buffer, packed = BytesIO(), Counter[str]()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = files[name]
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system, info.external_attr = _UNIX, entry.mode << 16
            try:
                content = entry.content()
            except OSError as error:
                raise not_packed(error, entry.path, name) from error
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
            packed[name] = info.compress_size
        archive.comment = package_comment([*libraries, *layers])
    size = len(buffer.getbuffer()) + sum(sizes.zipped for sizes in added)
    if size >= limits.ZIPPED_BYTES and limited:
        sizes = {name: Packed(0, entry.path, packed[name]) for name, entry in files.items()}
        raise _too_large("zipped", size, limits.ZIPPED_BYTES, {**_entries_of(libraries), **sizes})
    return buffer.getvalue()


def _entries_of(libraries: Sequence[Path]) -> dict[str, Packed]:
    found = {}
    for folder in libraries:
        for path in files_of(folder):
            found[path.relative_to(folder).as_posix()] = Packed(_FILE, path, path.stat().st_size)
    return found


@dataclass(frozen=True)
class _Walk:
    """One walk through a folder.

    Attributes:
        left_out: Matches the names in the package of what is left out.
    """

    left_out: GitIgnoreSpec

    def entries(self, folder: Path, prefix: str, root: Path, within: tuple[Path, ...]) -> Iterator[tuple[str, Packed]]:
        """Yield the entries below a folder.

        Args:
            folder: The folder.
            prefix: Its name in the package, with a trailing `/`.
            root: The folder that is packed; links may lead to what is below it.
            within: The real paths of the folders around this one, to detect a folder that contains itself.
        """
        real = Path(os.path.realpath(folder))
        if real in within:
            raise HarnessError(
                f"{folder} links to a folder around it",
                remedy="remove the link, have it lead elsewhere, or `exclude` it",
            )
        paths = sorted(folder.iterdir())
        if not paths and within:
            yield prefix, Packed(_FOLDER, folder, 0)
        for path in paths:
            name = f"{prefix}{path.name}"
            # In this order: what is left out by its name is not looked into.
            if path.name in _LEFT_OUT or self._is_left_out(path, name) or _is_environment(path):
                continue
            _check_name(name, path)
            if path.is_symlink() and _stays_a_link(path, real.relative_to(root), root):
                yield name, Packed(_LINK, path, len(os.fsencode(path.readlink())))
            elif path.is_dir():
                # Within a folder from outside, links may lead to whatever is packed with it.
                inner_root = Path(os.path.realpath(path)) if path.is_symlink() else root
                yield from self.entries(path, f"{name}/", inner_root, (*within, real))
            elif path.is_file():
                status = path.stat()
                yield name, Packed(_PROGRAM if status.st_mode & stat.S_IXUSR else _FILE, path, status.st_size)

    def _is_left_out(self, path: Path, name: str) -> bool:
        # A link into a folder that may not be searched is left out, too; `Path.is_dir` would raise.
        return len(self.left_out) > 0 and self.left_out.match_file(f"{name}/" if os.path.isdir(path) else name)  # noqa: PTH112


def _stays_a_link(path: Path, folder: Path, root: Path) -> bool:
    """Return whether a link leads to something that is packed, too, or is broken.

    Args:
        path: The link.
        folder: Its folder, relative to the root.
        root: The folder that is packed.
    """
    if not path.exists():
        return True
    target = Path(os.path.realpath(path))
    # The path of the link matters, too: one through a folder above the root is broken on Lambda.
    way = os.path.normpath(folder / path.readlink())
    inside = not way.startswith("/") and way.partition("/")[0] != ".." and target.is_relative_to(root)
    if not inside or os.path.realpath(root / way) != str(target):
        return False
    inner = target.relative_to(root).parts
    around = [root.joinpath(*inner[: end + 1]) for end in range(len(inner))]
    left_out = _LEFT_OUT.intersection(inner) or any(map(_is_environment, around))
    return not left_out


def _is_environment(path: Path) -> bool:
    """Return whether a folder is an environment; one that may not be searched is none, and cannot be packed either."""
    return any(os.path.exists(path / mark) for mark in _ENVIRONMENT)  # noqa: PTH110 - `Path.exists` would raise


def _check_name(name: str, path: Path) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise HarnessError(f"{shown}: its name is not UTF-8, and cannot be packed", remedy="rename it") from error
    if "\\" in name:
        raise HarnessError(
            f"{path}: its name has a backslash, and cannot be packed",
            "tools that unpack packages take it for the end of a folder's name",
            "rename it, or `exclude` it",
        )


def _unreadable(error: OSError, folder: Path, prefix: str | None) -> HarnessError:
    """Return the error about an entry that may not be looked at.

    Args:
        error: What the system says of it.
        folder: The folder that is packed.
        prefix: What precedes the names of its entries in the package; None if nothing can be excluded.
    """
    path = Path(error.filename or folder)
    inner = path.relative_to(folder).parts if path.is_relative_to(folder) else ()
    ways = (folder.joinpath(*inner[: end + 1]) for end in range(len(inner)))
    # The outermost link is the user's; what it leads to is seldom.
    link = next((way for way in ways if os.path.islink(way)), None)  # noqa: PTH114 - `Path.is_symlink` would raise
    name = (link or path).relative_to(folder).as_posix() if inner else ""
    where = f"through the link {link} to {link.readlink()}" if link not in (None, path) else ""
    return not_packed(error, path, f"{prefix}{name}" if name and prefix is not None else "", where)


def not_packed(error: OSError, path: Path, name: str = "", where: str = "") -> HarnessError:
    """Return the error about an entry that cannot be read.

    Args:
        error: What the system says of it.
        path: The entry, if the system does not name it.
        name: Its name in the package, if it can be excluded.
        where: Where it was found, if that is not plain.
    """
    remedy = f'or leave it out: `exclude = ["/{name}"]`' if name else "or remove it"
    what = f"{error.filename or path} cannot be packed: {error.strerror}"
    return HarnessError(what, where, f"correct its permissions, {remedy}")


def _too_large(how: str, size: int, limit: int, files: Mapping[str, Packed]) -> HarnessError:
    """Return the error that names the largest files and folders."""
    weights = _weights(files, "")
    # If one folder has nearly all of the bytes, name its entries instead.
    name, weight = weights.most_common(1)[0]
    while name.endswith("/") and weight > _NEARLY_ALL * weights.total():
        weights = _weights(files, name)
        name, weight = weights.most_common(1)[0]
    heaviest = ", ".join(f"{name} {_mb(weight)}" for name, weight in weights.most_common(_HEAVIEST))
    return HarnessError(
        f"the deployment package has {size} bytes {how}; Lambda takes less than {limit}",
        f"largest: {heaviest}",
        "leave out what the function does not need, or deploy it as an image",
    )


def _weights(files: Mapping[str, Packed], folder: str) -> Counter[str]:
    """Return the size of each entry of a folder, with everything below it."""
    weights = Counter[str]()
    for name, entry in files.items():
        if name.startswith(folder):
            top, slash, _ = name.removeprefix(folder).partition("/")
            weights[folder + top + slash] += entry.size
    return weights


def _mb(size: int) -> str:
    return f"{size / (1 << 20):.1f} MB"
