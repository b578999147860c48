"""A function's packed folder, unpacked and run."""

import base64
import subprocess
from pathlib import Path

import pytest

from harness.gateway import limits
from harness.gateway.packages import CodeFolders
from harness.gateway.requests import FunctionCode, ImageConfig
from harness.runs.functions import package
from harness.settings import FunctionSettings


@pytest.fixture
def source(tmp_path):
    """A function's folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "app.py").write_text("def handler(event, context): return 1")
    return folder


def packed(source, **settings):
    """The package's bytes."""
    return package(FunctionSettings(source=source, handler="app.handler", **settings))


def write(path, text="", mode=0o644):
    """A file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def test_a_function_finds_what_was_packed(source, tmp_path):
    """Packed here and unpacked by the gateway, programs, libraries' links and linked folders are what they were."""
    write(source / "bin" / "tool", "#!/bin/sh\necho ran", 0o755)
    write(source / "lib" / "libx.so.1", "ELF", 0o755)
    (source / "lib" / "libx.so").symlink_to("libx.so.1")
    (source / "lib64").symlink_to("lib")

    code = FunctionCode(base64.b64encode(packed(source)).decode())
    folder = CodeFolders(tmp_path / "functions").package("f", code, ImageConfig(), limits.ARCHITECTURE).folder

    assert "ran\n" == subprocess.run([folder / "bin" / "tool"], check=True, capture_output=True, text=True).stdout
    assert [Path("libx.so.1"), Path("lib")] == [(folder / name).readlink() for name in ("lib/libx.so", "lib64")]
    assert "ELF" == (folder / "lib64" / "libx.so").read_text()
