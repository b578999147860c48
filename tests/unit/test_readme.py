"""README and the pages say what the code says."""

from pathlib import Path

from fixtures.doc_tables import job_table, matrix_table

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_matrix_on_the_page_is_the_codes():
    """The table of models is the generated one; `python fixtures/doc_tables.py` prints it anew."""
    assert matrix_table() in (ROOT / "docs" / "training.md").read_text()


def test_the_page_of_keys_lists_every_key_of_the_job():
    """The table of keys is the generated one."""
    assert job_table() in (ROOT / "docs" / "job.md").read_text()


def test_every_verb_in_the_readme_exists():
    """No command is named that there is not."""
    from harness.cli.main import VERBS  # noqa: PLC0415 - the test's own subject

    named = {line.split()[1] for line in README.splitlines() if line.startswith("harness ")}

    assert named <= set(VERBS)


def test_the_readme_is_short_and_has_the_two_commands():
    """What it is, how it begins, and where to go: a newcomer reads it in two minutes."""
    assert README.count("\n") <= 80
    assert "```sh\nmake e2e-emulator " in README
    assert "\nmake test-local " in README
