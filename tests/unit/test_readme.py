"""The README says what the code says."""

from pathlib import Path

from fixtures.doc_tables import job_table, matrix_table

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_matrix_in_the_readme_is_the_codes():
    """The table of models is the generated one; `python fixtures/doc_tables.py` prints it anew."""
    assert matrix_table() in README


def test_the_users_guide_lists_every_key_of_the_job():
    """The table of keys is the generated one."""
    assert job_table() in (ROOT / "docs" / "user-guide.md").read_text()


def test_every_verb_in_the_readme_exists():
    """No command is named that there is not."""
    from harness.cli.main import VERBS  # noqa: PLC0415 - the test's own subject

    named = {line.split()[1] for line in README.splitlines() if line.startswith("harness ")}

    assert named <= set(VERBS)
