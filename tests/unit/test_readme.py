"""The README says what the code says."""

from pathlib import Path

from fixtures.matrix_table import table

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_matrix_in_the_readme_is_the_codes():
    """The table of models is the generated one; `python fixtures/matrix_table.py` prints it anew."""
    assert table() in README


def test_every_verb_in_the_readme_exists():
    """No command is named that there is not."""
    from harness.cli.main import VERBS  # noqa: PLC0415 - the test's own subject

    named = {line.split()[1] for line in README.splitlines() if line.startswith("harness ")}

    assert named <= set(VERBS)
