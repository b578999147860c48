"""What all tests share: the project's settings, one stack per test session, and throw-away projects."""

import gc
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from harness.settings import Settings, load_settings
from harness.stack import StackState, start_private_stack
from harness.stack.pytorch import is_installed
from harness.stack.state import Mode

if TYPE_CHECKING:
    import docker

HARNESS = Path(sys.executable).with_name("harness")


# Tests that a shell starts in its background ignore Ctrl-C, and those that `nohup` starts ignore the end of a terminal;
# so would the commands that they start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


# A function sees what tests write: a /tmp of its own would hide pytest's.
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", "/var/tmp")  # noqa: S108 - pytest's folders in it are private

# The folder below tests/ in which a file lies is the tier of its tests.
TIERS = ("unit", "simulation", "parity", "integration", "deploy", "e2e", "browser", "faults", "containers")

# These modules import torch; the other tests that need it start a process that does.
NEEDING_TORCH = {"test_neural.py", "test_torch.py", "test_torch_optimisers.py"}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave modules that import torch alone where they are deselected and it is missing, as by `make test-local`."""
    deselected = "not torch" in config.getoption("markexpr")
    return True if collection_path.name in NEEDING_TORCH and deselected and not is_installed() else None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test with its tier."""
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    if folder not in TIERS:
        raise pytest.UsageError(
            f"{item.path}: a test lies in a folder of tests/ named after a tier: {', '.join(TIERS)}"
        )
    item.add_marker(folder)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the choice of what plays S3."""
    parser.addoption(
        "--s3", choices=["localstack", "moto"], default="localstack", help="what plays S3 in the stack of the tests"
    )
    parser.addoption(
        "--mode", choices=["process", "container"], default="process", help="how the stack of the tests runs"
    )


@pytest.fixture(scope="session")
def settings(mode: Mode) -> Settings:
    """The settings of the project itself, in the mode of this session; runs of tests do not push out kept ones."""
    settings = load_settings(Path(__file__).parent)
    history = msgspec.structs.replace(settings.history, keep=False)
    return msgspec.structs.replace(settings, stack=msgspec.structs.replace(settings.stack, mode=mode), history=history)


@pytest.fixture(scope="session")
def mode(pytestconfig: pytest.Config) -> Mode:
    """How stacks run in this session."""
    chosen: Mode = pytestconfig.getoption("--mode")
    return chosen


@pytest.fixture(scope="session")
def stack(settings: Settings, pytestconfig: pytest.Config) -> Iterator[StackState]:
    """A stack for this session's tests; under xdist each worker has its own."""
    with start_private_stack(settings, s3=pytestconfig.getoption("--s3")) as state:
        yield state


@pytest.fixture(scope="session")
def engine() -> Iterator["docker.DockerClient"]:
    """The Docker engine; without one, no test of containers says anything."""
    # The engine's client takes a tenth of a second to import, and most tests do without it.
    from harness.system.engine import EngineUnavailable, connect  # noqa: PLC0415

    reason = ""
    with warnings.catch_warnings():
        # docker-py leaves the socket of a failed attempt open.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            client = connect()
        except EngineUnavailable as error:
            reason = f"NOT TESTED, for want of a Docker engine: {error.what}; {error.remedy}"
        gc.collect()
    if reason:
        pytest.skip(reason)
    yield client
    client.close()


@pytest.fixture
def project(tmp_path: Path) -> Settings:
    """A project of the test's own, without functions, with moto as S3."""
    (tmp_path / "harness.toml").write_text('[stack]\ns3 = "moto"\n', encoding="utf-8")
    return load_settings(tmp_path)


@pytest.fixture
def run_harness(project: Settings) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Runs the console script in the test's own project, and takes its stack down in the end."""

    def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [HARNESS, *arguments], cwd=project.root, env=env, capture_output=True, text=True, check=False
        )

    yield run
    run("down")
