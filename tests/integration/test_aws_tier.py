"""The tests of AWS's behaviour with HARNESS_TARGET=aws: they use the account of the environment, and start nothing."""

import os
import subprocess
import sys
from pathlib import Path

from harness.stack.state import client_environment

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "parity" / "aws"

# Runs pytest in this process, and fails if it starts another one.
SESSION = """
import sys
import pytest

started = []
names = {"subprocess.Popen", "os.fork", "os.exec", "os.posix_spawn", "os.system"}
sys.addaudithook(lambda name, arguments: started.append(name) if name in names else None)
code = pytest.main(sys.argv[1:])
assert not started, started
sys.exit(code)
"""


def test_an_account_is_all_that_the_tests_need(stack, tmp_path):
    """A stack plays the account; the tests find it by AWS's variables, and delete what they have made there."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST", "HARNESS"))
    }
    account = {"HARNESS_TARGET": "aws", "HARNESS_TEST_ROLE": "arn:aws:iam::123456789012:role/parity"}
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={tmp_path / 'own'}"]

    ended = subprocess.run(
        [sys.executable, "-c", SESSION, *options, str(FOLDER / "test_names.py")],
        cwd=ROOT,
        env={**environment, **client_environment(stack), **account},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert " passed" in ended.stdout
