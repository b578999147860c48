"""The tests of AWS's behaviour can run on an account: they know boto3, and nothing of the emulation."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "parity" / "aws"

# A body may use these; only conftest.py may start the emulation.
ALLOWED = {"boto3", "botocore", "pytest", "tests.parity.aws.support"}


def imports_of(path: Path) -> set[str]:
    """Return the modules that a file imports anywhere, without the standard library's."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or ".")
    return {name for name in found if name.partition(".")[0] not in sys.stdlib_module_names}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_a_body_uses_boto3_alone(path):
    """So the same lines run against the emulation and on AWS."""
    if path.name == "conftest.py":
        return
    foreign = {
        name
        for name in imports_of(path)
        if name not in ALLOWED and name.partition(".")[0] not in {"boto3", "botocore", "pytest"}
    }

    assert foreign == set()
