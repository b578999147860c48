"""Check whether this machine meets the harness's requirements; each failed check says how to fix it."""

import errno
import os
import platform
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
import psutil

from harness.bundle import DISTRIBUTION
from harness.errors import HarnessError
from harness.gateway.isolation.view import Namespaces, permitted
from harness.runtimes.environments import ensure_environment, environment_folder, is_made
from harness.runtimes.interpreters import find_interpreter
from harness.settings import Runtime, Settings
from harness.stack.control import shared_stack
from harness.stack.localstack import ensure_localstack, find_localstack
from harness.stack.memcached import find_memcached
from harness.stack.packages import ensure_memcached
from harness.stack.pytorch import is_installed
from harness.system.disk import full, not_writable
from harness.system.ports import ReservedPorts
from harness.system.process_life import NOT_LINUX_REMEDY
from harness.system.rie import fetch_rie, rie_path

OLDEST_PYTHON = (3, 11)
# For LocalStack, moto and four workers; --s3 moto and fewer workers need less.
ENOUGH_MEMORY_MB = 1500
# For a worker's connection pool, several dozen environments, and memcached's end of each connection.
ENOUGH_DESCRIPTORS = 1024
PROGRAM_TIMEOUT_S = 10


class Check(msgspec.Struct, frozen=True):
    """The result of one check.

    Attributes:
        name: The dependency or resource that was checked.
        ok: Whether the check passed.
        required: Whether the harness cannot work if it fails.
        found: What was found, or what is wrong.
        remedy: How to fix it; empty if the check passed.
    """

    name: str
    ok: bool
    required: bool
    found: str
    remedy: str = ""


def examine(settings: Settings, problems: Sequence[HarnessError] = ()) -> list[Check]:
    """Check everything that the harness depends on, without changing anything.

    Args:
        settings: The project's settings.
        problems: What is wrong with its harness.toml; each is a failed check.
    """
    return [
        *(Check("settings", ok=False, required=True, found=each.what, remedy=_place_first(each)) for each in problems),
        _operating_system(),
        _python(),
        *_overwritten(),
        _setpriv(),
        _namespaces(settings),
        _required("memcached", lambda: _version_of(find_memcached(settings), "-V")),
        _required("RIE", lambda: str(rie_path(settings))),
        _localstack(settings),
        *(_runtime(settings, runtime) for runtime in _runtimes(settings)),
        _state_folder(settings),
        _ports(settings),
        _memory(),
        _descriptors(),
        _pytorch(),
        _docker(required=settings.stack.mode == "container"),
    ]


def fix(settings: Settings, log: Callable[[str], None]) -> None:
    """Install what the harness can install itself: memcached, the RIE, the runtimes, and LocalStack if it is used.

    Raises:
        HarnessError: One of them could not be installed.
    """
    fetch_rie(settings)
    ensure_memcached(settings, log)
    for runtime in _runtimes(settings):
        ensure_environment(settings.cache_dir, runtime, log=log)
    if settings.stack.s3 == "localstack":
        ensure_localstack(settings, log)


def _place_first(problem: HarnessError) -> str:
    return ": ".join(part for part in (problem.where, problem.remedy) if part)


def _runtimes(settings: Settings) -> list[Runtime]:
    """Return the runtimes that the project uses."""
    return sorted({settings.runtime, *(function.python for function in settings.functions.values())})


def _runtime(settings: Settings, runtime: Runtime) -> Check:
    required = settings.stack.mode == "process"
    if is_made(settings.cache_dir, runtime):
        found = str(environment_folder(settings.cache_dir, runtime))
        return Check(runtime, ok=True, required=required, found=found)
    try:
        found = f"not made yet, of {find_interpreter(runtime)}"
    except HarnessError as error:
        return Check(runtime, ok=False, required=required, found=error.what, remedy=error.remedy)
    # The first command that needs it makes it.
    return Check(runtime, ok=False, required=False, found=found, remedy="run `harness doctor --fix`, or just go on")


def _required(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, ok=True, required=True, found=look())
    except HarnessError as error:
        return Check(name, ok=False, required=True, found=error.what, remedy=error.remedy)


def _operating_system() -> Check:
    system = platform.system()
    remedy = "" if system == "Linux" else NOT_LINUX_REMEDY
    return Check(
        "system",
        ok=not remedy,
        required=True,
        found=f"{system} {platform.release()} {platform.machine()}",
        remedy=remedy,
    )


def _python() -> Check:
    ok = sys.version_info >= OLDEST_PYTHON
    remedy = "" if ok else "install Python 3.11 or newer, and install the harness with it"
    return Check(
        "Python",
        ok=ok,
        required=True,
        found=f"{platform.python_version()} at {sys.executable}",
        remedy=remedy,
    )


def _overwritten() -> list[Check]:
    """Return a failed check if PyPI's `harness`, whose package has the same name, lies in the same environment."""
    try:
        other = version("harness")
    except PackageNotFoundError:
        return []
    found = f"the distribution harness {other} overwrites files of {DISTRIBUTION}"
    remedy = f"uninstall both, then install {DISTRIBUTION} alone, for example with pipx"
    return [Check("package", ok=False, required=True, found=found, remedy=remedy)]


def _setpriv() -> Check:
    program = shutil.which("setpriv")
    remedy = "" if program else "install your system's package util-linux"
    return Check("setpriv", ok=bool(program), required=True, found=program or "not installed", remedy=remedy)


def _namespaces(settings: Settings) -> Check:
    """Check whether functions of process mode can have AWS's paths and a /tmp of their own."""
    if not settings.gateway.isolate:
        return Check("namespaces", ok=True, required=False, found="not used: harness.toml has `isolate = false`")
    namespaces, why = permitted()
    if namespaces is Namespaces.USER:
        found = "functions see /var/task, /opt, and a /tmp and a user of their own"
        return Check("namespaces", ok=True, required=False, found=found)
    lacking = "limits and user" if namespaces is Namespaces.MOUNT else "paths, and its /tmp"
    found = f"functions see this machine's {lacking}, because the kernel refuses a user namespace: {why}"
    remedy = "nothing must be done; to change it: sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), "
    remedy += "or user.max_user_namespaces=15000; a container needs --cap-add SYS_ADMIN"
    return Check("namespaces", ok=False, required=False, found=found, remedy=remedy)


def _localstack(settings: Settings) -> Check:
    try:
        return Check("LocalStack", ok=True, required=False, found=str(find_localstack(settings)))
    except HarnessError:
        remedy = "the first stack with LocalStack downloads it, 100 MB once; --s3 moto needs none"
        return Check("LocalStack", ok=False, required=False, found="not installed", remedy=remedy)


def _state_folder(settings: Settings) -> Check:
    """Check that the folder is writable, and that functions can load shared libraries from it."""
    folder = next(each for each in (settings.state_dir, *settings.state_dir.parents) if each.is_dir())
    here = os.statvfs(folder)
    what, remedy = "", ""
    if no_room := full(folder):
        what, _, remedy = no_room
    elif not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        what, _, remedy = str(not_writable(folder, PermissionError(errno.EACCES, "Permission denied"))).partition("\n")
    if what:
        return Check("state", ok=False, required=True, found=what, remedy=remedy)
    if here.f_flag & os.ST_NOEXEC:
        remedy = "functions cannot load shared libraries (.so) that they bundle; use a folder on another file system"
        return Check("state", ok=False, required=False, found=f"{folder} is mounted noexec", remedy=remedy)
    return Check("state", ok=True, required=True, found=str(settings.state_dir))


def _ports(settings: Settings) -> Check:
    fixed: dict[str, int] = {name: port for name, port in msgspec.structs.asdict(settings.stack.ports).items() if port}
    if shared_stack(settings, of_any_code=True) is not None:
        return Check("ports", ok=True, required=True, found="in use by the running stack")
    try:
        ReservedPorts(["any", *fixed], fixed).close()
    except HarnessError as error:
        return Check("ports", ok=False, required=True, found=error.what, remedy=error.remedy)
    return Check("ports", ok=True, required=True, found=f"free: {fixed}" if fixed else "free ports on 127.0.0.1")


def _memory() -> Check:
    available_mb = psutil.virtual_memory().available // 2**20
    ok = available_mb >= ENOUGH_MEMORY_MB
    remedy = "" if ok else "close other programs, or use --s3 moto and fewer workers"
    return Check("memory", ok=ok, required=False, found=f"{available_mb} MB available", remedy=remedy)


def _descriptors() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ok = soft >= ENOUGH_DESCRIPTORS or soft == resource.RLIM_INFINITY
    remedy = "" if ok else f"run `ulimit -n {min(hard, ENOUGH_DESCRIPTORS * 4)}` in this shell"
    return Check("open files", ok=ok, required=False, found=f"limit {soft}, at most {hard}", remedy=remedy)


def _pytorch() -> Check:
    if is_installed():
        return Check("PyTorch", ok=True, required=False, found=f"{version('torch')} in {sys.prefix}")
    remedy = "nothing to do: functions have their own; `harness predict` installs it for neural networks"
    return Check("PyTorch", ok=False, required=False, found="not installed", remedy=remedy)


def _docker(*, required: bool) -> Check:
    found, remedy = "not installed", "only container mode needs it"
    program = shutil.which("docker")
    if program is not None:
        engine, words = _answer([program, "version", "--format", "{{.Server.Version}}"])
        if engine:
            return Check("Docker", ok=True, required=required, found=f"engine {engine}")
        found, remedy = why_no_engine(words)
    return Check("Docker", ok=False, required=required, found=found, remedy=remedy)


def why_no_engine(words: str) -> tuple[str, str]:
    """Return what is wrong with an installed Docker, and the remedy.

    Args:
        words: What `docker version` printed as its errors.
    """
    if "permission denied while trying to connect" in words.lower():
        # Importing the engine's client takes a tenth of a second.
        from harness.system.engine import JOIN_DOCKER  # noqa: PLC0415

        return "installed, but this user may not use the engine", f"only container mode needs it: {JOIN_DOCKER}"
    return "installed, but no engine responds", "only container mode needs it: start Docker"


def _version_of(program: Path, flag: str) -> str:
    return f"{_output([str(program), flag])} at {program}"


def _output(command: list[str]) -> str:
    """Return the first line that a program prints; an empty string if it fails."""
    return _answer(command)[0]


def _answer(command: list[str]) -> tuple[str, str]:
    """Return the first line that a program prints, empty if it fails, and its errors."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "", ""
    said = done.stdout.strip().splitlines() if done.returncode == 0 else []
    return said[0] if said else "", done.stderr
