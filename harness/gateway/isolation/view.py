"""A function's view: which folders of this machine it finds at AWS's paths, and whether the kernel permits that."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, unique
from pathlib import Path

from harness.bundle import BUNDLE
from harness.gateway.isolation import enter
from harness.gateway.linking import link_into
from harness.gateway.records import Function
from harness.runtimes.mark import OPT

ENTER = Path(enter.__file__)
RUNTIME = Path(__file__).parents[1] / "runtime"
# Folders that a view covers: what the harness needs from below them is put back.
_COVERED = (enter.OPT, enter.TMP)
_TRIAL_WITHIN_S = 10


@unique
class Namespaces(Enum):
    """What the kernel permits this user."""

    USER = "user and mount namespaces"
    MOUNT = "mount namespaces"
    NONE = "no namespaces"


@dataclass(frozen=True)
class View:
    """What the environments of one function see, and where.

    Attributes:
        arguments: For `enter.py`.
        task: The folder of the package, as the function sees it.
        runtime: The folder of the start script, likewise.
        python: The interpreter, likewise.
        opt: The folder of the layers, likewise; empty if there is none.
        own_tmp: Whether /tmp belongs to one environment alone.
        own_user: Whether the user has AWS's name, and so a home that does not exist.
    """

    arguments: tuple[str, ...]
    task: str
    runtime: str
    python: str
    opt: str
    own_tmp: bool = False
    own_user: bool = False

    def command(self, command: list[str], *, output: int | None = None, parent: bool = False) -> list[str]:
        """Return the command, preceded by what gives its process this view.

        Args:
            command: The command, with paths as the view has them.
            output: The descriptor that it prints to, if not its standard output.
            parent: Whether it is a pre-imported parent, whose processes get limits and a /tmp of their own.
        """
        numbers = [] if output is None else [str(output)]
        flags = ["parent"] if parent else []
        return [sys.executable, "-I", "-S", str(ENTER), *numbers, *self.arguments, *flags, "--", *command]


class Views:
    """The views of all functions.

    Args:
        folder: Where what they show is put together.
        namespaces: What the kernel permits.
        kept: Folders that environments need, even below one that a view covers.
    """

    def __init__(self, folder: Path, namespaces: Namespaces, kept: Iterable[Path] = ()) -> None:
        self._folder, self._namespaces = folder, namespaces
        self._kept = (BUNDLE, Path(__file__).parents[3], *kept)
        self._empty, self._passwd = folder / "empty", folder / "passwd"
        # The last view of each function: looking at its folders takes a third of a millisecond.
        self._last: dict[str, tuple[str, View]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._empty.mkdir(exist_ok=True)
        self._passwd.write_text(_users(Path("/etc/passwd")))

    def of(self, function: Function, python: Path) -> View:
        """Return the view of a function's environments.

        Args:
            function: The function.
            python: The interpreter of its runtime, in the environment that stands for AWS's.
        """
        revision, view = self._last.get(function.key, ("", None))
        if view is None or revision != function.revision:
            view = self._view(function, python)
            self._last[function.key] = function.revision, view
        return view

    def _view(self, function: Function, python: Path) -> View:
        opt = self._opt(function)
        kept = _covered((*self._kept, *function.layers, *_homes(python)))
        if self._namespaces is Namespaces.NONE or kept is None:
            shown = (f"at-task={function.code}", *((f"at-opt={opt}",) if opt else ()))
            return View(shown, str(function.code), str(RUNTIME), str(python), str(opt or ""))
        own_user = self._namespaces is Namespaces.USER
        arguments = (
            f"task={function.code}",
            f"runtime={RUNTIME}",
            f"lang={python.parent.parent}",
            *(f"library={library}" for library in _library_of(python)),
            f"opt={opt or self._empty}",
            f"tmp={function.ephemeral_storage_mb}",
            *((f"passwd={self._passwd}", "user") if own_user else ()),
            *(f"keep={path}" for path in kept),
        )
        interpreter = f"{enter.LANG}/bin/{python.name}"
        return View(arguments, enter.TASK, enter.RUNTIME, interpreter, enter.OPT, own_tmp=True, own_user=own_user)

    def _opt(self, function: Function) -> Path | None:
        """Return a folder with the content of a function's layers, of which the last one wins; None without layers."""
        own = function.code / OPT
        layers = [*([own] if own.is_dir() else []), *function.layers]
        if len(layers) <= 1:
            return layers[0] if layers else None
        digest = hashlib.sha256("\0".join(map(str, layers)).encode(errors="surrogateescape")).hexdigest()
        merged = self._folder / digest[:16]
        if not merged.is_dir():
            partial = Path(tempfile.mkdtemp(dir=self._folder))
            link_into(partial, layers[::-1])
            partial.chmod(0o755)
            partial.rename(merged)
        return merged


def permitted() -> tuple[Namespaces, str]:
    """Return what the kernel permits this user, and why not more; it takes some hundredths of a second."""
    if platform.system() != "Linux":
        return Namespaces.NONE, f"{platform.system()} has none"
    folder = Path(tempfile.mkdtemp(prefix="lambda-view-"))
    try:
        (folder / "passwd").touch()
        shown = [f"{name}={folder}" for name in ("task", "runtime", "lang", "opt")]
        why = _refusal([*shown, f"passwd={folder / 'passwd'}", "tmp=1", "user"])
        if not why:
            return Namespaces.USER, ""
        if os.geteuid() == 0 and not _refusal([*shown, "tmp=1"]):
            return Namespaces.MOUNT, why
        return Namespaces.NONE, why
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _refusal(view: list[str]) -> str:
    """Return why a view is not possible; empty if it is."""
    command = [sys.executable, "-I", "-S", str(ENTER), *view, "--", "/bin/sh", "-c", "exit 0"]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TRIAL_WITHIN_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if tried.returncode == 0:
        return ""
    lines = tried.stderr.strip().splitlines()
    return lines[-1].rpartition("] ")[2] if lines else f"status {tried.returncode}"


def _library_of(python: Path) -> list[Path]:
    """Return the folder of an interpreter's standard library, if it has the usual layout."""
    versions = [path.name for path in (python.parent.parent / "lib").glob("python3.*")]
    found = [home / "lib" / version for home in _homes(python)[2:] for version in versions]
    return [path for path in found if (path / "site-packages").is_dir() and (path / "os.py").is_file()][:1]


def _homes(python: Path) -> list[Path]:
    """Return the folders of the interpreter that an environment's own one stands for."""
    settings = python.parent.parent / "pyvenv.cfg"
    lines = settings.read_text().splitlines() if settings.is_file() else []
    homes = [Path(line.partition("=")[2].strip()).parent for line in lines if line.partition(" ")[0] == "home"]
    return [python.parent.parent, python.resolve().parent.parent, *homes]


def _covered(folders: Iterable[Path]) -> list[str] | None:
    """Return the folders that a view would hide, the outer ones alone; None if one of them is itself covered."""
    found: list[str] = []
    for folder in sorted({str(folder.absolute()) for folder in folders if folder.is_dir()}):
        if folder in _COVERED:
            return None
        if folder.startswith(tuple(f"{place}/" for place in _COVERED)) and not folder.startswith(
            tuple(f"{outer}/" for outer in found)
        ):
            found.append(folder)
    return found


def _users(file: Path) -> str:
    """Return this machine's users, with AWS's in addition."""
    lines = file.read_text(errors="replace").splitlines() if file.is_file() else []
    others = [line for line in lines if line.split(":")[2:3] != [str(enter.UID)] and not line.startswith(enter.USER)]
    own = f"{enter.USER}:x:{enter.UID}:{enter.GID}::/home/{enter.USER}:/sbin/nologin"
    return "\n".join((*others, own, ""))
