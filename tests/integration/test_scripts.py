"""Scripts of fixtures/ that are started with the system's Python."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("script", ["partition_data.py", "save_1_worker_output.py", "doc_tables.py"])
def test_a_script_outside_of_the_environment_says_what_to_do(script):
    """The system's Python lacks our packages: one line instead of a traceback."""
    path = Path(__file__).parents[2] / "fixtures" / script

    done = subprocess.run([sys.executable, "-I", "-S", path, "--help"], capture_output=True, text=True, check=False)

    assert 1 == done.returncode
    assert done.stderr.endswith("run `make setup` once, then `. .venv/bin/activate`, and try again\n")
    assert 1 == done.stderr.count("\n")
