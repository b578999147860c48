"""docs/testing-your-functions.md: every block of Python is a file of tests that passes."""

import re
import subprocess
import sys

import pytest

from tests.support.documents import ROOT, blocks_of

PAGE = ROOT / "docs" / "testing-your-functions.md"


@pytest.mark.timeout(300)
def test_every_block_passes(tmp_path, mode):
    """A reader who copies a block into an empty project sees it pass."""
    if mode != "process":
        pytest.skip("these tests choose their mode themselves")
    blocks = [block for block in blocks_of(PAGE) if block.kind == "python"]
    (tmp_path / "harness.toml").write_text("")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for block in blocks:
        (tmp_path / f"test_line_{block.line}.py").write_text(block.text)

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-W", "error"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert 0 == run.returncode, run.stdout + run.stderr
    tests = sum(len(re.findall(r"^ *def test_", block.text, re.MULTILINE)) for block in blocks)
    assert f" {tests} passed" in run.stdout
