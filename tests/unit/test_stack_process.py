"""Identity of processes and the environment of children."""

import os
from pathlib import Path

import pytest

from harness.system.process_life import ProcessIdentity, clean_environment, is_alive, own_identity


def test_a_process_recognises_itself():
    """A running process is alive under its own identity."""
    own = own_identity()

    assert own.pid == os.getpid()
    assert is_alive(own)


def test_a_reused_pid_is_somebody_else():
    """The same pid with another start time is another process."""
    own = own_identity()

    assert not is_alive(ProcessIdentity(own.pid, own.started - 1))


def test_nothing_of_the_users_environment_reaches_a_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Proxies, AWS profiles and Python settings of the user stay outside."""
    for name in ("HTTP_PROXY", "https_proxy", "AWS_PROFILE", "AWS_SESSION_TOKEN", "PYTHONPATH"):
        monkeypatch.setenv(name, "the user's")

    environment = clean_environment(tmp_path)

    assert "the user's" not in environment.values()
    assert environment["HOME"] == str(tmp_path)
