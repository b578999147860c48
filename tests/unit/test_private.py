"""What belongs to the owner of a stack alone."""

import os
import stat
from pathlib import Path

import pytest

from harness.stack.folders import keep_logs, make_folder
from harness.stack.lock import shared_stack_lock
from harness.system import private_files, records
from harness.system.process_life import inherited_environment


def mode_of(path: Path) -> int:
    """The permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request):
    """A user's umask: open to everybody, the usual one, closed."""
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_state_logs_and_folders_are_their_owners_whatever_the_umask(tmp_path):
    """Nobody else enters `.harness`, or reads the state in it."""
    state_dir = tmp_path / ".harness"
    with shared_stack_lock(state_dir):
        directory = make_folder(state_dir)
    records.save({"secret": "x"}, state_dir / "state.json")
    (directory / "moto.log").touch()
    kept = keep_logs(directory)

    assert {0o700} == {mode_of(path) for path in (state_dir, state_dir / "stacks", directory, kept)}
    assert {0o600} == {mode_of(path) for path in (state_dir / "state.json", directory / "owner.json")}


def test_a_folder_that_others_could_enter_is_repaired(tmp_path):
    """As earlier versions made it."""
    state_dir = tmp_path / ".harness"
    (state_dir / "stacks").mkdir(parents=True)
    for folder in (state_dir, state_dir / "stacks"):
        folder.chmod(0o755)

    make_folder(state_dir)

    assert (0o700, 0o700) == (mode_of(state_dir), mode_of(state_dir / "stacks"))


def test_a_file_that_others_could_read_is_replaced(tmp_path):
    """Also where somebody has left the temporary file, to keep it open."""
    path = tmp_path / "state.json"
    for left in (path, tmp_path / f".state.json.{os.getpid()}"):
        left.write_bytes(b"old")
        left.chmod(0o666)

    private_files.write_private(path, b"new")

    assert (b"new", 0o600) == (path.read_bytes(), mode_of(path))


def test_the_supervisor_inherits_no_secrets_of_the_shell(monkeypatch):
    """What finds programs and the engine is kept; credentials, tokens and Python's settings are not."""
    kept = {"PATH": "/bin", "LC_ALL": "C", "DOCKER_HOST": "unix:///x", "XDG_CACHE_HOME": "/c", "HOME": "/h"}
    dropped = {
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_SESSION_TOKEN": "s",
        "GITHUB_TOKEN": "s",
        "PGPASSWORD": "s",
        "PYTHONPATH": "/x",
        "PYTHONOPTIMIZE": "2",
        "HTTPS_PROXY": "http://user:password@proxy",
    }
    for name, value in (kept | dropped).items():
        monkeypatch.setenv(name, value)

    inherited = inherited_environment()

    assert kept.items() <= inherited.items()
    assert not dropped.keys() & inherited.keys()
