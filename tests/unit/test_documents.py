"""The code blocks of README and user guide name their language and only targets that exist."""

import re
import tomllib

import pytest

from tests.support.documents import DOCUMENTS, ROOT, blocks_of

KINDS = {"sh", "console", "toml", "json", "text", "python"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_block_says_what_it_is(name):
    """Commands are marked as such, so that none escapes the test below; one that cannot be run says why."""
    for block in blocks_of(ROOT / name):
        assert block.kind in KINDS, f"{name}:{block.line}"
        if block.kind == "toml":
            tomllib.loads(block.text)
        if block.kind == "python":
            compile(block.text, name, "exec")
        assert not block.note or block.note.startswith(("containers", "not run: ")), f"{name}:{block.line}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_target_of_make_exists(name):
    """A target that a document names is one that `make` lists."""
    listed = re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = {
        target
        for block in blocks_of(ROOT / name)
        if block.kind == "sh"
        for target in re.findall(r"^make ([a-z0-9-]+)", block.text, re.MULTILINE)
    }

    assert named <= set(listed)
