"""A function's requirements, as far as they are read before pip is asked."""

from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.runtimes.libraries import build_remedy
from harness.runtimes.requirements import requirements_of
from harness.settings import FunctionSettings, with_absolute_paths


def refusal(source, **settings):
    """The error about a function's requirements."""
    table = FunctionSettings(source=Path(), handler="app.handler", **settings)
    with pytest.raises(HarnessError) as caught:
        requirements_of(with_absolute_paths(table, source))
    assert len(str(caught.value).splitlines()) <= 3
    return caught.value


def test_a_missing_include_is_told_with_the_line_that_names_it(tmp_path):
    """No key of harness.toml is at fault, and several files may include others."""
    (tmp_path / "requirements.txt").write_text("iniconfig\n-r more.txt\n")
    (tmp_path / "more.txt").write_text("# more\n\n-r missing.txt  # where is it?\n")

    error = refusal(tmp_path)

    assert str(tmp_path / "missing.txt") == error.where
    assert f"correct `-r missing.txt`, line 3 of {tmp_path}/more.txt" == error.remedy


def test_a_missing_file_is_told_with_the_key_that_names_it(tmp_path):
    """Only if the key is set."""
    error = refusal(tmp_path, requirements="gone.txt")

    assert str(tmp_path / "gone.txt") == error.where
    assert "correct `requirements` in harness.toml" == error.remedy


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_a_folder_in_the_place_of_requirements_is_refused(tmp_path, name):
    """The function would lack its libraries without a word."""
    (tmp_path / name).mkdir()

    error = refusal(tmp_path)

    assert "the requirements cannot be read: Is a directory" == error.what
    assert str(tmp_path / name) == error.where
    assert "make it a file" in error.remedy


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("Invalid requirement: 'a ===== 3': Expected comma", "correct that line"),
        (
            "Could not find a version that satisfies the requirement boto33 (from versions: none)",
            "check the package's name",
        ),
        (
            "Could not find a version that satisfies the requirement a==9 (from versions: 1, 2)",
            "name versions that have a",
        ),
    ],
)
def test_what_to_do_goes_by_pips_reason(reason, remedy):
    """A slip, a mistyped name, and a version that is not for Lambda are mended in different ways."""
    assert build_remedy(reason, "python3.13").startswith(remedy)
