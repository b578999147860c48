"""Who may import whom: the arrows of docs/architecture.md, checked on the code as it is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.unit


def test_import_contracts_are_kept():
    """Every import in harness, fixtures and training follows an arrow that pyproject.toml allows."""
    lint_imports = Path(sys.executable).with_name("lint-imports")

    result = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr


def test_lambdas_never_mention_the_harness():
    """The code that goes to AWS neither imports nor names the tool that rehearses it."""
    sources = [path for path in sorted((ROOT / "lambdas").rglob("*")) if path.suffix in {".py", ".txt", ".toml"}]

    mentions = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sources
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if re.search(r"\bharness\b", line, re.IGNORECASE)
    ]

    assert sources, "no file of lambdas/ was read"
    assert mentions == []
