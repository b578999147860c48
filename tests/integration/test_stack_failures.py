"""What a user is told when the stack cannot start, and that nothing half-made is left."""

import json
import os
import platform
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from harness.errors import HarnessError
from harness.settings import Settings, load_settings
from harness.stack import localstack, memcached, start_private_stack
from harness.stack.localstack import ensure_localstack, find_localstack
from harness.stack.memcached import find_memcached
from tests.support.ports import quiet_port

FakeMemcached = Callable[[str], None]


@pytest.fixture
def fake_memcached(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeMemcached]:
    """Puts a shell script named memcached first on the PATH."""
    # As root, memcached runs as `nobody`, who may not look into pytest's own temporary folders.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)

        def install(script: str) -> None:
            program = folder / "memcached"
            program.write_text(f"#!/bin/sh\ncd {folder}\n{script}\n", encoding="utf-8")
            program.chmod(0o755)
            monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

        yield install


def with_ports(project: Settings, **ports: int) -> Settings:
    """The project with these ports set in its harness.toml."""
    lines = [f"{name} = {port}" for name, port in ports.items()]
    text = "\n".join(["[stack]", 's3 = "moto"', "[stack.ports]", *lines])
    (project.root / "harness.toml").write_text(text, encoding="utf-8")
    return load_settings(project.root)


def folders_of_stacks(project: Settings) -> list[Path]:
    """What stacks have left, or have."""
    return list((project.state_dir / "stacks").iterdir())


def test_a_taken_port_is_named_and_nothing_is_left(project, run_harness):
    """`up` fails with the port, the service and what to do, and works once the port is free."""
    with socket.create_server(("127.0.0.1", quiet_port())) as server:
        port = server.getsockname()[1]
        with_ports(project, gateway=port)
        refused = run_harness("up")

    assert refused.returncode == 1
    assert f"port {port}, set for gateway, is taken" in refused.stderr
    assert "[stack.ports]" in refused.stderr
    assert folders_of_stacks(project) == []
    up = run_harness("up", "--json")
    assert json.loads(up.stdout)["endpoints"]["lambda"] == f"http://127.0.0.1:{port}"


def test_moto_as_s3_listens_where_s3_was_set(project):
    """With one server for S3 and the rest of AWS, the port of either counts, and two are refused."""
    with socket.create_server(("127.0.0.1", quiet_port())) as server:
        port = server.getsockname()[1]
    with start_private_stack(with_ports(project, s3=port)) as state:
        assert state.endpoints.s3 == state.endpoints.aws == f"http://127.0.0.1:{port}"
    with pytest.raises(HarnessError, match="cannot have both"):
        start_private_stack(with_ports(project, s3=port, aws=port + 1)).__enter__()


def test_a_child_that_dies_at_start_is_quoted(project, fake_memcached):
    """The error holds the last lines of the child's log, and says where all logs were kept."""
    fake_memcached("echo one; echo 'out of luck' >&2; exit 3")

    with pytest.raises(HarnessError) as caught:
        start_private_stack(project).__enter__()

    assert caught.value.what == "memcached ended while it was starting (status 3)"
    assert caught.value.where == "one | out of luck"
    kept = Path(caught.value.remedy.removeprefix("logs: "))
    assert (kept / "memcached.log").read_text(encoding="utf-8") == "one\nout of luck\n"
    assert folders_of_stacks(project) == []


def test_a_lost_port_is_replaced(project, fake_memcached):
    """When somebody else takes a free port before the child listens, the stack starts on other ports."""
    real = shutil.which("memcached")
    fake_memcached(
        f'[ -e tried ] && exec {real} "$@"\n: > tried\necho "failed to listen: Address already in use"; exit 71'
    )

    with start_private_stack(project) as state:
        host, _, port = state.endpoints.memcached.rpartition(":")
        socket.create_connection((host, int(port))).close()


def test_a_process_that_a_child_left_behind_goes_too(project, fake_memcached):
    """What has cut its ties to its parent is found and ended with the stack."""
    fake_memcached(f'setsid sleep 1000 & exec {shutil.which("memcached")} "$@"')

    with start_private_stack(project) as state:
        below = psutil.Process(state.pid).children(recursive=True)
        [stray] = [process for process in below if process.name() == "sleep"]
        assert stray.is_running()

    assert not stray.is_running()


def test_a_port_that_is_lost_each_time_is_an_error(project, fake_memcached):
    """The stack does not try for ever."""
    fake_memcached("echo 'failed to listen: Address already in use'; exit 71")

    with pytest.raises(HarnessError, match="Address already in use"):
        start_private_stack(project).__enter__()


def test_a_missing_memcached_is_one_clear_error(monkeypatch, tmp_path):
    """Without memcached the error names the remedy."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(memcached, "USUAL_FOLDERS", ())

    with pytest.raises(HarnessError) as caught:
        find_memcached()

    assert caught.value.what == "memcached is not installed"
    assert "harness doctor --fix" in caught.value.remedy


@pytest.fixture
def without_localstack(project: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a user who installed the harness and never used LocalStack; its requirements are none."""
    (tmp_path / "bundle" / "requirements").mkdir(parents=True)
    (tmp_path / "bundle" / "requirements" / "localstack.txt").write_text("# nothing\n")
    monkeypatch.setattr(localstack, "BUNDLE", tmp_path / "bundle")
    return msgspec.structs.replace(project, cache_dir=tmp_path / "cache")


def test_a_missing_localstack_is_one_clear_error(without_localstack):
    """Without LocalStack's environment the error names the remedy and the alternative."""
    with pytest.raises(HarnessError) as caught:
        find_localstack(without_localstack)

    assert "harness doctor --fix" in caught.value.remedy
    assert "--s3 moto" in caught.value.remedy


def test_localstack_is_installed_once_per_content(without_localstack):
    """Its environment is made on first use, told, and found from then on until its packages change."""
    lines: list[str] = []

    made = ensure_localstack(without_localstack, lines.append)
    again = ensure_localstack(without_localstack, lines.append)
    requirements = localstack.BUNDLE / "requirements" / "localstack.txt"
    requirements.write_text("# something else\n")
    other = ensure_localstack(without_localstack, lines.append)

    assert made == again == made.parents[1] / "bin" / "python"
    assert made != other
    assert 2 == sum("installing LocalStack into" in line for line in lines)
    subprocess.run([made, "-I", "-c", "import sys; assert sys.prefix != sys.base_prefix"], check=True)


def test_a_localstack_that_cannot_be_installed_leaves_nothing(without_localstack, monkeypatch, tmp_path):
    """Pip's reason is quoted, and the next command begins from scratch."""
    (localstack.BUNDLE / "requirements" / "localstack.txt").write_text(f"missing==1 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))

    with pytest.raises(HarnessError) as caught:
        ensure_localstack(without_localstack, print)

    assert "No matching distribution found for missing==1" in caught.value.where
    assert "--s3 moto" in caught.value.remedy
    assert ["lock"] == [path.name for path in (without_localstack.cache_dir / "localstack").iterdir()]


def test_a_rie_that_cannot_be_fetched_stops_up_before_anything_starts(project, run_harness, tmp_path):
    """Without the emulator and a network, `up` fails with the remedy, and leaves no folder."""
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    refused = run_harness("up", env={**os.environ, **offline, "XDG_CACHE_HOME": str(tmp_path / "empty")})

    assert refused.returncode == 1
    assert "then run the command again" in refused.stderr
    assert "fetching AWS's Lambda Runtime Interface Emulator" in refused.stderr.splitlines()[0]
    assert len(refused.stderr.splitlines()) <= 4
    assert folders_of_stacks(project) == []


def test_another_system_than_linux_is_told_about_container_mode(project, monkeypatch):
    """Where processes cannot be tied to each other, the error says what else to use, and nothing is written."""
    monkeypatch.setattr(platform, "system", lambda: "Darwin")

    with pytest.raises(HarnessError) as caught:
        start_private_stack(project).__enter__()

    assert "Darwin" in caught.value.what
    assert "container mode" in caught.value.remedy
    assert not (project.state_dir / "stacks").exists()


def test_doctor_tells_what_is_missing(run_harness, tmp_path):
    """`doctor` succeeds where all is there; where the emulator is missing it fails and says how to get it."""
    well = run_harness("doctor", "--json")
    ill = run_harness("doctor", "--json", env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "empty")})

    assert well.returncode == 0
    assert all(check["ok"] for check in json.loads(well.stdout) if check["required"])
    assert ill.returncode == 1
    missing = [check for check in json.loads(ill.stdout) if check["required"] and not check["ok"]]
    assert [(check["name"], check["remedy"]) for check in missing] == [("RIE", "run `harness doctor --fix`")]


def test_doctor_names_a_taken_port(project, run_harness):
    """A set port that somebody else has is reported before `up` fails on it."""
    with socket.create_server(("127.0.0.1", quiet_port())) as server:
        port = server.getsockname()[1]
        with_ports(project, memcached=port)
        doctor = run_harness("doctor")

    assert doctor.returncode == 1
    assert f"port {port}, set for memcached, is taken" in doctor.stdout
