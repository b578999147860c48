"""`lint-imports` on the code as it is, and on copies of it with one forbidden import each."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")

# A module, and one that it must not import: a room far above its own, or one that its room does not know.
FORBIDDEN = [
    ("harness/system/ports.py", "harness.deploy.apply"),
    ("harness/gateway/errors.py", "training.job"),
    ("lambdas/training/exchange/frame.py", "training.run.results"),
]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages and of the contracts."""
    folder = tmp_path_factory.mktemp("sources")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in ("harness", "lambdas"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of a folder's pyproject.toml on its packages."""
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(folder / "lambdas")])},
        capture_output=True,
        text=True,
        check=False,
    )


def lint_with(sources: Path, path: str, addition: str) -> subprocess.CompletedProcess[str]:
    """Check the contracts with some lines added to one module."""
    module = sources / path
    original = module.read_text()
    module.write_text(original + addition)
    try:
        return lint_imports(sources)
    finally:
        module.write_text(original)


def test_import_contracts_are_kept(sources: Path):
    """Every import in harness and training goes down the layers of pyproject.toml."""
    result = lint_imports(sources)

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("path", "imported"), [FORBIDDEN[0], *(pytest.param(*pair, marks=pytest.mark.slow) for pair in FORBIDDEN[1:])]
)
def test_an_import_against_the_layers_fails(sources: Path, path: str, imported: str):
    """One import upwards or sideways breaks a contract, and the output names it."""
    result = lint_with(sources, path, f"\nimport {imported}\n")

    module = path.removeprefix("lambdas/").removesuffix(".py").replace("/", ".")
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{module} -> {imported}" in result.stdout


@pytest.mark.parametrize(
    "hidden",
    [
        "\ndef hidden():\n    import {0}\n",
        "\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import {0}\n",
    ],
    ids=["function", "TYPE_CHECKING"],
)
def test_a_hidden_import_fails_too(sources: Path, hidden: str):
    """An import inside a function or under TYPE_CHECKING does not get round the layers."""
    path, imported = FORBIDDEN[0]

    result = lint_with(sources, path, hidden.format(imported))

    assert result.returncode == 1, result.stdout + result.stderr
    assert f"harness.system.ports -> {imported}" in result.stdout
