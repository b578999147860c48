"""Text of others in the errors of a command."""

import subprocess
import sys
from pathlib import Path

HARNESS = Path(sys.executable).with_name("harness")


def test_an_error_that_quotes_a_cache_is_printable(tmp_path):
    """The abort text of a run is what somebody wrote into the cache; here it is in the name of a file."""
    name = "owned\x1b[2J\x1b]0;title\x07\x9b1m"
    job = tmp_path / name
    job.write_text("no job")

    done = subprocess.run(
        [HARNESS, "run", "--job", job], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert r"owned\x1b[2J\x1b]0;title\x07\x9b1m" in done.stderr
    assert not set(done.stderr) & {"\x1b", "\x07", "\x9b", "\r"}
