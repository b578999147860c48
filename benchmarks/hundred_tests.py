"""A hundred tests with `lambda_stack`: `python -m benchmarks.hundred_tests`.

Each deploys a function and invokes it, and the stack is reset after it.

The first round prepares what is made once (the runtime's environment); the second one counts.
The exit code is 1 if it takes longer than the limit of 30 seconds with two workers.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS, WORKERS, LIMIT_S = 100, 2, 30.0
# A reset must take less, so that a suite does not notice it.
RESET_LIMIT_MS = 50.0

_TEXT = f"""
import time

import pytest


def greet(event, context):
    return event["number"]


@pytest.mark.parametrize("number", range({TESTS}))
def test_greeting(lambda_stack, number):
    assert lambda_stack.deploy(greet).invoke({{"number": number}}).payload == number


@pytest.mark.parametrize("number", range(20))
def test_reset(lambda_stack, number):
    lambda_stack.client("s3").create_bucket(Bucket="bucket")
    lambda_stack.client("sqs").create_queue(QueueName="queue")
    lambda_stack.deploy(greet).invoke({{"number": number}}, asynchronous=True)
    lambda_stack.events.wait_for("succeeded")
    started = time.perf_counter()
    lambda_stack.reset()
    print(f"RESET {{1e3 * (time.perf_counter() - started):.1f}} ms")
"""


def main() -> int:
    """Run the tests, print the figures, and return 1 if one is above its limit."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "harness.toml").touch()
        (folder / "pytest.ini").write_text("[pytest]\n")
        (folder / "test_it.py").write_text(_TEXT)
        _pytest(folder, "-k", "test_greeting[1]")
        started = time.perf_counter()
        _pytest(folder, "-n", str(WORKERS), "-k", "test_greeting")
        seconds = time.perf_counter() - started
        resets = re.findall(r"RESET ([\d.]+) ms", _pytest(folder, "-k", "test_reset", "-s"))
    times = sorted(map(float, resets))
    median = times[len(times) // 2]
    sys.stdout.write(f"{TESTS} tests with {WORKERS} workers: {seconds:.1f} s (limit {LIMIT_S:g} s)\n")
    sys.stdout.write(f"one reset: {median:.1f} ms (median of {len(times)}; limit {RESET_LIMIT_MS:g} ms)\n")
    return int(seconds > LIMIT_S or median > RESET_LIMIT_MS)


def _pytest(folder: Path, *options: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
