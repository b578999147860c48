"""What `harness doctor` makes of what it finds."""

import sys

import pytest

from harness.stack import doctor
from harness.stack.doctor import why_no_engine


@pytest.mark.parametrize(
    ("words", "found", "remedy"),
    [
        (
            "permission denied while trying to connect to the Docker daemon socket at unix:///x.sock: connect: denied",
            "this user may not use the engine",
            "join the group docker",
        ),
        (
            "open config.json: permission denied\nCannot connect to the Docker daemon. Is it running?",
            "no engine responds",
            "start Docker",
        ),
        ("", "no engine responds", "start Docker"),
    ],
)
def test_a_missing_permission_is_not_taken_for_a_missing_engine(words, found, remedy):
    """The user joins the group instead of starting what runs already."""
    said = why_no_engine(words)

    assert found in said[0]
    assert remedy in said[1]


@pytest.mark.parametrize("overwritten", [False, True])
def test_another_package_of_the_same_name_is_named(tmp_path, monkeypatch, overwritten):
    """PyPI's `harness` overwrites files of ours, and both must go."""
    if overwritten:
        information = tmp_path / "harness-0.1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: harness\nVersion: 0.1.0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    found = doctor._overwritten()  # noqa: SLF001 - the other checks of `examine` start programs

    assert overwritten == bool(found)
    for check in found:
        assert check.required
        assert not check.ok
        assert "harness 0.1.0 overwrites files" in check.found
        assert "uninstall both" in check.remedy
