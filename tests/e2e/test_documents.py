"""README and user guide, followed to the letter: every block of commands is run, in order, in a copy of the clone."""

import shutil
import subprocess

import pytest

from tests.support.documents import (
    DOCUMENTS,
    LEFT_OUT,
    ROOT,
    blocks_of,
    copy_of_the_clone,
    run_script,
    script_of,
)

WITHIN_S = 400
ACTIVATE = ". .venv/bin/activate"


@pytest.mark.slow
@pytest.mark.timeout(WITHIN_S + 60)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_works_as_printed(name, tmp_path, mode):
    """A reader who types the blocks from top to bottom meets no error."""
    if mode != "process":
        pytest.skip("these blocks are for process mode")
    blocks = [block for block in blocks_of(ROOT / name) if block.kind == "sh" and not block.note]
    clone = copy_of_the_clone(tmp_path)
    harness = clone / ".venv" / "bin" / "harness"
    settings = clone / "harness.toml"
    settings.write_text(settings.read_text().replace('s3 = "localstack"', 's3 = "moto"'))  # it starts sooner
    made = [harness, "data", "make", "--rows", "20000", "-o", "HIGGS.xz"]
    subprocess.run(made, cwd=clone, capture_output=True, check=True)
    rows = [f"{20 + row % 50},{'Oslo' if row % 3 else ''},{'yes' if row * 7 % 50 > 25 else 'no'}" for row in range(300)]
    (clone / "people.csv").write_text("\n".join(["age,town,bought", *rows]) + "\n")
    missing = tuple(program for program in ("aws", "curl") if shutil.which(program) is None)

    # README activates the environment in its blocks, the guide in its first sentence.
    activated = f"{ACTIVATE}\n" if f"`{ACTIVATE}`" in (ROOT / name).read_text() else ""

    code, printed = run_script(activated + script_of(blocks, (*LEFT_OUT, *missing)), clone, WITHIN_S)

    assert 0 == code, printed[-4000:]
    assert "Traceback" not in printed, printed[-4000:]
    assert [] == list(clone.glob(".harness/stacks/*"))
