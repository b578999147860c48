"""README and user guide, followed to the letter: every block of commands is run, in order, in a copy of the clone."""

import re
import shutil
import subprocess
import tomllib

import pytest

from tests.support.documents import ROOT, blocks_of, copy_of_the_clone, run_script, script_of

DOCUMENTS = ("README.md", "docs/user-guide.md")
# `make` rebuilds environments that lie elsewhere than in the copy; .ci/run calls these targets in the clone itself.
LEFT_OUT = ("make",)
KINDS = {"sh", "console", "toml", "json", "text"}
WITHIN_S = 400


@pytest.mark.unit
@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_block_says_what_it_is(name):
    """Commands are marked as such, so that none escapes the test below; one that cannot be run says why."""
    for block in blocks_of(ROOT / name):
        assert block.kind in KINDS, f"{name}:{block.line}"
        if block.kind == "toml":
            tomllib.loads(block.text)
        assert not block.note or block.note.startswith(("containers", "not run: ")), f"{name}:{block.line}"


@pytest.mark.unit
@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_target_of_make_exists(name):
    """A target that a document names is one that `make` lists."""
    listed = subprocess.run(["make", "--silent", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    named = {
        target
        for block in blocks_of(ROOT / name)
        if block.kind == "sh"
        for target in re.findall(r"^make ([a-z0-9-]+)", block.text, re.MULTILINE)
    }

    assert named <= set(re.findall(r"^  ([a-z0-9-]+) ", listed, re.MULTILINE))


@pytest.mark.e2e
@pytest.mark.timeout(WITHIN_S + 60)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_works_as_printed(name, tmp_path, mode):
    """A reader who types the blocks from top to bottom meets no error."""
    if mode != "process":
        pytest.skip("these blocks are for process mode; no test runs those for containers yet")
    blocks = [block for block in blocks_of(ROOT / name) if block.kind == "sh" and not block.note]
    clone = copy_of_the_clone(tmp_path)
    harness = clone / ".venv" / "bin" / "harness"
    settings = clone / "harness.toml"
    settings.write_text(settings.read_text().replace('s3 = "localstack"', 's3 = "moto"'))  # it starts sooner
    made = [harness, "data", "make", "--rows", "20000", "-o", "HIGGS.xz"]
    subprocess.run(made, cwd=clone, capture_output=True, check=True)
    missing = tuple(program for program in ("aws", "curl") if shutil.which(program) is None)

    code, printed = run_script(script_of(blocks, (*LEFT_OUT, *missing)), clone, WITHIN_S)

    assert 0 == code, printed[-4000:]
    assert "Traceback" not in printed, printed[-4000:]
    assert [] == list(clone.glob(".harness/stacks/*"))
