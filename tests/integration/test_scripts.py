"""Scripts of fixtures/ that are started with the system's Python."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[2] / "fixtures"
SCRIPTS = ["partition_data.py", "save_1_worker_output.py", "doc_tables.py"]


def run_by_another_python(script: Path) -> subprocess.CompletedProcess[str]:
    """Ask a script for its help with a Python that has none of our packages."""
    return subprocess.run([sys.executable, "-I", "-S", script, "--help"], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_without_an_environment_says_what_to_do(script, tmp_path):
    """The system's Python lacks our packages: one line instead of a traceback."""
    shutil.copytree(FIXTURES, tmp_path / "fixtures")

    done = run_by_another_python(tmp_path / "fixtures" / script)

    assert 1 == done.returncode
    assert done.stderr.endswith("run `make setup` once, then `. .venv/bin/activate`, and try again\n")
    assert 1 == done.stderr.count("\n")


@pytest.mark.parametrize("script", ["partition_data.py", "save_1_worker_output.py"])
def test_a_script_finds_the_environment_of_its_clone(script, tmp_path):
    """README's commands work without an active environment."""
    shutil.copytree(FIXTURES, tmp_path / "fixtures")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)

    done = run_by_another_python(tmp_path / "fixtures" / script)

    assert 0 == done.returncode, done.stderr
    assert "Usage:" in done.stdout
