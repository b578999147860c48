"""The page's own code: its unit tests run under the environment's Node.js."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_tests_of_the_pages_code_pass():
    """Formatters, the router and what charts are drawn from do what web/test says."""
    run = subprocess.run([ROOT / "web" / "npm", "test", "--silent"], capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout + run.stderr
    assert "# fail 0" in run.stdout or "fail 0" in run.stdout


def test_no_file_of_the_pages_code_names_a_registry():
    """Where packages come from is the user's choice; checksums say which ones."""
    lock = (ROOT / "web" / "package-lock.json").read_text()

    assert '"integrity": "sha512-' in lock
    assert "resolved" not in lock
