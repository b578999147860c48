"""The pages that a newcomer follows first: their commands are run as printed, each page in a fresh folder."""

import subprocess
import sys

import pytest

from tests.support.documents import LEFT_OUT, ROOT, blocks_of, run_script, script_of

WITHIN_S = 300
# Each in a folder of its own. The first is run daily.
PAGES = (
    "quick-start",
    *(
        pytest.param(f"tutorials/{name}", marks=pytest.mark.slow)
        for name in ("first-run", "your-own-data", "break-it", "test-your-lambdas")
    ),
    pytest.param("tutorials/your-own-model", marks=[pytest.mark.slow, pytest.mark.torch]),
)


@pytest.mark.timeout(WITHIN_S + 60)
@pytest.mark.parametrize("page", PAGES)
def test_every_command_works_as_printed(page, tmp_path, mode):
    """A reader who types the blocks from top to bottom meets no error."""
    if mode != "process":
        pytest.skip("these blocks are for process mode")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    blocks = [
        block
        for block in blocks_of(ROOT / "docs" / f"{page}.md")
        if block.kind == "sh" and not block.note.startswith("not run")
    ]

    try:
        code, printed = run_script(". .venv/bin/activate\n" + script_of(blocks, LEFT_OUT), tmp_path, WITHIN_S)
    finally:
        for state in tmp_path.rglob(".harness"):  # a page that stopped half-way leaves its stack up
            down = [tmp_path / ".venv" / "bin" / "harness", "down"]
            subprocess.run(down, cwd=state.parent, capture_output=True, check=False)

    assert 0 == code, printed[-4000:]
    assert "Traceback" not in printed, printed[-4000:]
