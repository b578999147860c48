"""Identity of other processes."""

import os
import subprocess
import sys
from pathlib import Path

from harness.system.process_life import identity_of, is_alive, own_identity


def test_a_zombie_is_dead():
    """A process that ended counts as dead before its parent has collected it."""
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as process:
        identity = identity_of(process.pid)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

        assert identity is not None
        assert not is_alive(identity)


def test_a_name_with_brackets_and_spaces_is_read(tmp_path: Path):
    """The start time is found behind any name a program may have."""
    program = tmp_path / ") S 1 (x"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as process:
        try:
            identity = identity_of(process.pid)
        finally:
            process.kill()

    assert identity is not None
    assert identity.started >= own_identity().started
