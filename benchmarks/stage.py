"""A temporary project folder and stack for the figures of the whole flow.

A running stack of the user's is neither used nor disturbed.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

import harness
from benchmarks.figure import BenchmarkError
from harness.aws.clients import Clients, clients_for
from harness.settings import Settings, load_settings
from harness.stack import StackState, client_environment, start_private_stack
from harness.stack.state import state_file
from harness.system import records
from training.run.results import RunFolder

if TYPE_CHECKING:
    from harness.stack.state import Mode, S3Kind

# The tree whose harness is measured; with `make bench-compare` it may differ from that of this file.
TREE = Path(harness.__file__).resolve().parents[1]
COMMAND_LIMIT_S = 300.0
# The arguments of Python that run the harness.
HARNESS = ("-c", "from harness.cli.main import main; main()")


def run_python(folder: Path, environment: Mapping[str, str], *arguments: str) -> str:
    """Run Python in a folder; return its output.

    Raises:
        BenchmarkError: The program failed; the message quotes its last line.
    """
    command = [sys.executable, "-P", *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(f"`{' '.join(arguments)}` did not end within {COMMAND_LIMIT_S:g} s") from error
    if done.returncode != 0:
        raise BenchmarkError(f"`{' '.join(arguments)}` failed: {done.stderr.strip()[-500:]}")
    return done.stdout


@dataclass(frozen=True)
class Stage:
    """A running stack, and commands that use it.

    Attributes:
        settings: The settings of the project folder.
        stack: The stack.
        clients: Clients of its services.
    """

    settings: Settings
    stack: StackState
    clients: Clients

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the variables for a program that uses this stack."""
        return {**environ, **client_environment(self.stack)}

    def python(self, *arguments: str) -> str:
        """Run Python in the project folder; return its output.

        Raises:
            BenchmarkError: The program failed; the message quotes its last line.
        """
        return run_python(self.settings.root, self.environment, *arguments)

    def harness(self, *arguments: str) -> str:
        """Run a command of the harness; return its output."""
        return self.python(*HARNESS, *arguments)

    def run(self, *flags: str) -> "Run":
        """Run a job, and read the results that it and its workers stored."""
        started = time.perf_counter()
        summary = msgspec.json.decode(self.harness("run", "--json", *flags))
        seconds = time.perf_counter() - started
        folder = RunFolder(self.clients.s3, summary["job"]["result_bucket"], summary["run_id"])
        workers = {record["rank"]: record for record in map(folder.read_json, folder.names("workers/"))}
        return Run(seconds, summary, [workers[rank] for rank in sorted(workers)], folder)


@dataclass(frozen=True)
class Run:
    """One finished `harness run`.

    Attributes:
        seconds: The duration of the whole command.
        summary: The printed summary.
        workers: The workers' own records, by rank.
        folder: Its results in S3.
    """

    seconds: float
    summary: dict[str, Any]
    workers: list[dict[str, Any]]
    folder: RunFolder


@contextmanager
def project_folder() -> Iterator[Settings]:
    """Make a project with the functions of the measured tree, and without a stack."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        root = Path(folder)
        shutil.copy(TREE / "harness.toml", root)
        for name in ("lambdas", "requirements"):
            (root / name).symlink_to(TREE / name)
        yield load_settings(root)


@contextmanager
def stage(*, s3: "S3Kind | None" = None, mode: "Mode | None" = None) -> Iterator[Stage]:
    """Start a stack without warm environments, with the functions of the measured tree."""
    with project_folder() as settings, start_private_stack(settings, s3=s3, mode=mode) as stack:
        # Commands in this folder treat it as a stack started by `harness up`.
        records.save(stack, state_file(settings.state_dir))
        yield Stage(settings, stack, clients_for(stack.endpoints))


@contextmanager
def memcached() -> Iterator[tuple[str, int]]:
    """Yield the host and port of a stack's memcached."""
    with stage(s3="moto") as own:
        host, _, port = own.stack.endpoints.memcached.rpartition(":")
        yield host, int(port)
