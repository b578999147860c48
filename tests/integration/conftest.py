"""Projects of their own for tests that start and stop stacks."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.settings import Settings, load_settings

HARNESS = Path(sys.executable).with_name("harness")

RunHarness = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_harness(tmp_path: Path) -> Iterator[RunHarness]:
    """Runs the command in a project of its own with moto as S3, and takes its stack down in the end."""
    (tmp_path / "harness.toml").write_text('[stack]\ns3 = "moto"\n', encoding="utf-8")

    def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [HARNESS, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False, **options
        )

    yield run
    run("down")


@pytest.fixture
def project(run_harness: RunHarness, tmp_path: Path) -> Settings:  # noqa: ARG001 - it makes the project
    """The settings of the project in which `run_harness` works."""
    return load_settings(tmp_path)
