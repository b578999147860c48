"""Where the folder for a stack's functions is created."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from harness.gateway import scratch
from harness.gateway.scratch import make_scratch, programs_in, remove_scratch
from harness.system.process_labels import stack_label


@pytest.mark.parametrize("noexec", ["first", "second", None])
def test_programs_are_where_they_can_be_executed(monkeypatch, tmp_path, noexec):
    """On a hardened machine with a noexec /tmp, functions would otherwise find the system's `python3`."""
    bases = [tmp_path / "first", tmp_path / "second"]
    for base in bases:
        base.mkdir()
    monkeypatch.setattr(scratch, "_BASES", bases)
    flags = {tmp_path / noexec: os.ST_NOEXEC} if noexec else {}
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=flags.get(path, 0)))
    stack = stack_label(tmp_path)

    folder = make_scratch(stack)
    found = subprocess.check_output([programs_in(folder) / "python3", "-c", "import sys; print(sys.prefix)"], text=True)

    assert folder.parent == tmp_path / ("second" if noexec == "first" else "first")
    assert found.strip() == sys.prefix
    remove_scratch(stack)
    assert not folder.exists()
