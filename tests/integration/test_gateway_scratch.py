"""Where the folder for a stack's functions is created."""

import os
from types import SimpleNamespace

import pytest

from harness.gateway import scratch
from harness.gateway.scratch import make_scratch, remove_scratch
from harness.system.process_labels import stack_label


@pytest.mark.parametrize("noexec", ["first", "second", None])
def test_the_folder_is_where_programs_can_be_executed(monkeypatch, tmp_path, noexec):
    """On a hardened machine with a noexec /tmp, functions could not run what they put there."""
    bases = [tmp_path / "first", tmp_path / "second"]
    for base in bases:
        base.mkdir()
    monkeypatch.setattr(scratch, "_BASES", bases)
    flags = {tmp_path / noexec: os.ST_NOEXEC} if noexec else {}
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=flags.get(path, 0)))
    stack = stack_label(tmp_path)

    folder = make_scratch(stack)

    assert folder.parent == tmp_path / ("second" if noexec == "first" else "first")
    remove_scratch(stack)
    assert not folder.exists()
