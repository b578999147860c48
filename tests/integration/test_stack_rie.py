"""The Runtime Interface Emulator: fetched, verified, cached."""

import os
import platform
import subprocess
import sys

import msgspec
import pytest

from harness.errors import HarnessError
from harness.settings import Settings
from harness.stack import fetch_rie, rie_path

FETCH = """
from pathlib import Path
from harness.settings import load_settings
from harness.stack import fetch_rie
print(fetch_rie(load_settings(Path.cwd())))
"""


@pytest.fixture
def empty_cache(project: Settings) -> Settings:
    """Return settings of a project whose user has fetched nothing yet."""
    return msgspec.structs.replace(project, cache_dir=project.root / "cache" / "lambda-harness")


def test_a_damaged_file_is_noticed_and_replaced_by_any_number_of_fetches(empty_cache, project):
    """A wrong checksum is an error; two processes that fetch at the same time both get the real emulator."""
    path = empty_cache.cache_dir / rie_path(project).relative_to(project.cache_dir)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a download")
    with pytest.raises(HarnessError, match="damaged"):
        rie_path(empty_cache)

    environment = {**os.environ, "XDG_CACHE_HOME": str(project.root / "cache")}
    fetches = [
        subprocess.Popen(
            [sys.executable, "-c", FETCH], cwd=project.root, env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    printed = [fetch.communicate()[0].strip() for fetch in fetches]

    assert printed == [str(path), str(path)]
    assert rie_path(empty_cache) == fetch_rie(empty_cache) == path
    assert os.access(path, os.X_OK)
    assert list(path.parent.iterdir()) == [path]


def test_a_download_that_fails_is_one_clear_error(empty_cache, monkeypatch, tmp_path):
    """Without a package index the error says so, and nothing incomplete stays in the cache."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))

    with pytest.raises(HarnessError) as caught:
        fetch_rie(empty_cache)

    assert caught.value.what == "pip could not download the Lambda Runtime Interface Emulator"
    assert "aws-sam-cli" in caught.value.where
    assert caught.value.remedy.endswith("then run the command again")
    assert [path for path in empty_cache.cache_dir.rglob("*") if path.is_file()] == []


def test_an_architecture_without_lambda_is_named(empty_cache, monkeypatch):
    """On a machine for which AWS has no emulator, the error names the architecture."""
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")

    with pytest.raises(HarnessError, match="riscv64"):
        rie_path(empty_cache)
