"""LocalStack's S3 in host mode: without Docker, in a separate Python environment."""

import fcntl
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness.bundle import BUNDLE
from harness.errors import HarnessError
from harness.guard import SECRET_VARIABLE, own_key
from harness.settings import Settings
from harness.stack.service import Service
from harness.system.disk import writing_into_cache
from harness.system.installing import install, pip_command
from harness.system.ports import LOOPBACK
from harness.system.private_files import private_folder
from harness.system.probes import answers_http
from harness.system.process_identity import bound_to_parent

# S3 and STS only, without any network traffic to the outside.
SETTINGS = {
    "SERVICES": "s3,sts",
    "STRICT_SERVICE_LOADING": "1",
    "EAGER_SERVICE_LOADING": "1",
    "DISABLE_EVENTS": "1",
    "SKIP_SSL_CERT_DOWNLOAD": "1",
    "DNS_ADDRESS": "0",
    "LS_LOG": "warning",
}
# LocalStack's published image has its own launcher, and runs this script instead.
START_SCRIPT = Path(__file__).with_name("localstack_start.py")
LAUNCHER = Path(__file__).with_name("localstack_launcher.py")

_PYTHON = "bin/python"
_UNFINISHED = "unfinished-"
_REMEDY = "check the network and the disk, then try again; --s3 moto needs no LocalStack"


def find_localstack(settings: Settings) -> Path:
    """Return the Python of LocalStack's environment: that of the clone (`make setup`), or that in the user's cache.

    Raises:
        HarnessError: There is no such environment yet.
    """
    clones, cached = BUNDLE / ".venv-localstack" / _PYTHON, _cached(settings)
    if clones.exists():
        return clones
    # The link to its Python is broken if that Python was removed.
    if (cached / _PYTHON).exists():
        return cached / _PYTHON
    raise HarnessError(
        "LocalStack is not installed",
        f"looked for {cached / _PYTHON}",
        "run `harness doctor --fix`, which downloads 100 MB once, or use --s3 moto",
    )


def ensure_localstack(settings: Settings, log: Callable[[str], None]) -> Path:
    """Return the Python of LocalStack's environment; make it in the user's cache, once, if there is none.

    Any number of processes may do so at the same time: one makes it, and the others wait.

    Args:
        settings: The project's settings.
        log: Called with progress.

    Raises:
        HarnessError: pip cannot install LocalStack's packages.
    """
    try:
        return find_localstack(settings)
    except HarnessError:
        folder = _cached(settings)
    with writing_into_cache(settings.cache_dir):
        private_folder(settings.cache_dir)
        folder.parent.mkdir(exist_ok=True)
        with (folder.parent / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Another process may have made it in the meantime.
            if not (folder / _PYTHON).exists():
                _make(folder, log)
    return folder / _PYTHON


def _make(folder: Path, log: Callable[[str], None]) -> None:
    log(f"installing LocalStack into {folder} (once; about 100 MB to download, 400 MB on disk)")
    for left in (folder, *folder.parent.glob(f"{_UNFINISHED}*")):
        shutil.rmtree(left, ignore_errors=True)
    # The name says that it is whole; its Python, which is all that is run, does not mind the new name.
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=folder.parent) as temporary:
        unfinished = Path(temporary) / "environment"
        # Without pip, which Debian's Python lacks: the harness's own installs into the new environment.
        venv: list[str | Path] = [sys.executable, "-I", "-m", "venv", "--without-pip", unfinished]
        install(venv, "making LocalStack's environment", remedy=_REMEDY, log=log)
        pip: list[str | Path] = [
            *pip_command(),
            "--python",
            unfinished / _PYTHON,
            "install",
            "--progress-bar",
            "off",
            "--no-compile",
        ]
        install(
            [*pip, "--require-hashes", "--requirement", _requirements()],
            "installing LocalStack",
            remedy=_REMEDY,
            log=log,
            # A user's configuration may ask for `--user` or for an active environment.
            environment={"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"},
        )
        unfinished.replace(folder)


def _requirements() -> Path:
    return BUNDLE / "requirements" / "localstack.txt"


def _cached(settings: Settings) -> Path:
    """Return the environment's folder, whose name changes with its packages and with the version of Python."""
    key = hashlib.sha256(_requirements().read_bytes() + sys.version.encode()).hexdigest()[:16]
    return settings.cache_dir / "localstack" / key


def localstack_service(python: Path, port: int, directory: Path, secret: str) -> Service:
    """Return LocalStack with S3 and STS only, writing only below `directory`; `secret` is the stack's."""
    return Service(
        name="localstack",
        # -I excludes the launcher's folder from the search path: a file there has the library's name.
        command=bound_to_parent([python, "-I", LAUNCHER, directory / "s3"]),
        ready=lambda: answers_http(port, "/_localstack/health", own_key(secret)),
        environment={
            "GATEWAY_LISTEN": f"{LOOPBACK}:{port}",
            "LOCALSTACK_HOST": f"localhost:{port}",
            "FILESYSTEM_ROOT": str(directory / "localstack"),
            # If LocalStack believed that it ran in a container, it would write into system folders.
            "OVERRIDE_IN_DOCKER": "0",
            SECRET_VARIABLE: secret,
            **SETTINGS,
        },
    )
