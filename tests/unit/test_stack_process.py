"""Identity of processes and the environment of children."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.stack.process import ProcessIdentity, clean_environment, identity_of, is_alive, own_identity

pytestmark = pytest.mark.unit


def test_a_process_recognises_itself():
    """A running process is alive under its own identity."""
    own = own_identity()

    assert own.pid == os.getpid()
    assert is_alive(own)


def test_a_reused_pid_is_somebody_else():
    """The same pid with another start time is another process."""
    own = own_identity()

    assert not is_alive(ProcessIdentity(own.pid, own.started - 1))


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


def test_nothing_of_the_users_environment_reaches_a_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Proxies, AWS profiles and Python settings of the user stay outside."""
    for name in ("HTTP_PROXY", "https_proxy", "AWS_PROFILE", "AWS_SESSION_TOKEN", "PYTHONPATH"):
        monkeypatch.setenv(name, "the user's")

    environment = clean_environment(tmp_path)

    assert "the user's" not in environment.values()
    assert environment["HOME"] == str(tmp_path)
