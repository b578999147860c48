"""Stacks' folders and the removal of those whose owner was killed."""

import os
from pathlib import Path

import msgspec
import pytest

from harness.errors import HarnessError
from harness.stack.folders import clean_up_after_the_killed, make_folder, remove_folder
from harness.stack.state import Endpoints, StackState, dead_processes, load_state, state_file
from harness.stack.supervisor import is_removed, opened
from harness.system import records
from harness.system.process_life import ProcessIdentity, own_identity

ENDPOINTS = Endpoints(s3="http://s3", aws="http://aws", lambda_="http://l", memcached="m:1", discovery="d:1")


def killed() -> ProcessIdentity:
    """A process that is no more: its pid is ours today."""
    own = own_identity()
    return ProcessIdentity(own.pid, own.started - 1)


def state_of(supervisor: ProcessIdentity, directory: Path) -> StackState:
    """A stack as its supervisor describes it."""
    return StackState(
        pid=supervisor.pid,
        started=supervisor.started,
        s3="moto",
        directory=directory,
        endpoints=ENDPOINTS,
        functions_see=ENDPOINTS,
        processes={"memcached": os.getpid()},
        seconds={"memcached": 0.01},
    )


def test_only_a_removed_project_ends_its_stack(tmp_path: Path):
    """A project that has another name, or whose name another folder has, is there."""
    project = tmp_path / "project"
    project.mkdir()
    with opened(project) as descriptor:
        moved = project.rename(tmp_path / "moved")
        project.mkdir()
        seen = [is_removed(descriptor)]
        moved.rmdir()
        seen.append(is_removed(descriptor))

    assert [False, True] == seen


def test_a_living_owners_folder_stays(tmp_path: Path):
    """Nobody's folder is removed while its owner runs."""
    folder = make_folder(tmp_path)

    clean_up_after_the_killed(tmp_path)

    assert folder.is_dir()


def test_a_killed_owners_folder_and_state_go(tmp_path: Path):
    """What a killed supervisor left is removed, and no other stack's."""
    mine, left = make_folder(tmp_path), make_folder(tmp_path)
    records.save(killed(), left / "owner.json")
    records.save(state_of(killed(), left), state_file(tmp_path))

    clean_up_after_the_killed(tmp_path)

    assert mine.is_dir()
    assert not left.exists()
    assert not state_file(tmp_path).exists()


def test_a_folder_that_is_being_made_stays(tmp_path: Path):
    """A folder without an owner yet gets a minute before it counts as left behind."""
    new, old = make_folder(tmp_path), make_folder(tmp_path)
    for folder in (new, old):
        (folder / "owner.json").unlink()
    os.utime(old, (0, 0))

    clean_up_after_the_killed(tmp_path)

    assert new.is_dir()
    assert not old.exists()


def test_removing_a_folder_twice_is_no_error(tmp_path: Path):
    """Two commands may clean up at the same time."""
    folder = make_folder(tmp_path)

    remove_folder(folder)
    remove_folder(folder)

    assert not folder.exists()


def test_the_state_survives_its_file(tmp_path: Path):
    """What is written is what is read, paths and all, with AWS's name for the Lambda endpoint."""
    state = state_of(own_identity(), tmp_path)
    records.save(state, tmp_path / "state.json")

    assert load_state(tmp_path / "state.json") == state
    assert msgspec.json.decode((tmp_path / "state.json").read_bytes())["endpoints"]["lambda"] == "http://l"


def test_a_file_that_holds_something_else_is_named(tmp_path: Path):
    """A damaged state file gives an error with its path, not a traceback."""
    (tmp_path / "state.json").write_text("{}", encoding="utf-8")

    with pytest.raises(HarnessError) as caught:
        load_state(tmp_path / "state.json")

    assert caught.value.where == str(tmp_path / "state.json")


def test_all_are_dead_without_a_supervisor(tmp_path: Path):
    """A pid that lives on after its supervisor is not taken for the child."""
    assert dead_processes(state_of(killed(), tmp_path)) == ["memcached"]
