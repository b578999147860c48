"""The documentation site: what is generated covers the code, and what is checked can fail."""

import inspect
import re
from pathlib import Path

import click
import pytest

from fixtures.site.checks import problems
from fixtures.site.docstrings import as_markdown, docstring_of, fields_table
from fixtures.site.messages import messages
from fixtures.site.pages import PLUGIN_CLASSES, pages, write_pages
from harness.cli.main import VERBS, cli
from harness.runs.summary import Summary, WorkerSummary

PAGES = pages()
DOCS = Path(__file__).parents[2] / "docs"


def test_every_verb_has_a_page_that_names_its_command():
    """The list of commands names each verb, and its page is made from the click command of that verb."""
    listed = re.findall(r"^[a-z]+$", PAGES["commands/index.md"], re.MULTILINE)

    assert list(VERBS) == listed
    for verb in VERBS:
        (subject,) = re.findall(
            r"^\.\. click:: harness\.cli\.(\w+):command$", PAGES[f"commands/{verb}.rst"], re.MULTILINE
        )
        assert isinstance(cli.get_command(click.Context(cli), subject), click.Command)


@pytest.mark.parametrize("record", [Summary, WorkerSummary])
def test_every_field_of_the_summary_is_explained(record):
    """A field that the docstring forgets would be missing from the page."""
    for name in record.__struct_fields__:
        assert f"\n| `{name}` | " in fields_table(record)
    assert fields_table(record) in PAGES["summary-fields.md"]


@pytest.mark.parametrize("one", PLUGIN_CLASSES, ids=lambda one: one.__name__)
def test_every_member_of_the_fixtures_is_in_the_reference(one):
    """Public methods and properties, each with its docstring."""
    for name, member in vars(one).items():
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
            assert re.search(rf"^### `{name}[(`]", PAGES["plugin.md"], re.MULTILINE), name


def test_messages_are_collected_with_their_remedy():
    """Values become dots, and a text of several parts is one."""
    found = {message.what: message for message in messages()}

    assert "wait until `harness runs` shows it as succeeded" == found["run … has not finished"].remedy
    assert any(what.startswith("job field `") for what in found)
    assert len(found) > 300


def test_troubleshooting_quotes_messages_of_the_code():
    """Each heading of the page, `…` for values, is part of an error that the code can print; warnings are no errors."""
    quoted = re.findall(r"^### (.+)$", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    known = " | ".join(" ".join(message.what.split()) for message in messages())

    assert len(quoted) >= 25
    assert [one for one in quoted if one not in known and not one.startswith("warning: ")] == []


def test_sections_of_a_docstring_become_lists():
    """A text, arguments, errors."""

    def subject() -> None:
        """Do it.

        Args:
            one: The first,
                in two lines.
            **others: The rest.

        Raises:
            ValueError: It is wrong.
        """

    expected = (
        "Do it.\n\n- `one`: The first, in two lines.\n- `**others`: The rest.\n\n- raises `ValueError`: It is wrong."
    )
    assert expected == as_markdown(docstring_of(subject))


def test_pages_of_earlier_builds_are_removed(tmp_path):
    """A verb that is gone has no page, and unchanged pages are not written again."""
    write_pages(tmp_path)
    (tmp_path / "commands" / "gone.rst").write_text("x")
    before = (tmp_path / "messages.md").stat().st_mtime_ns
    write_pages(tmp_path)

    assert not (tmp_path / "commands" / "gone.rst").exists()
    assert before == (tmp_path / "messages.md").stat().st_mtime_ns


def test_broken_links_and_requests_to_other_machines_are_found(tmp_path):
    """A file, an anchor, a script, a font; an address that a reader clicks on may lead anywhere."""
    (tmp_path / "a.html").write_text(
        '<h1 id="here">A</h1><a href="#here">x</a><a href="b.html#there">x</a><a href="https://example.org">x</a>'
    )
    (tmp_path / "b.html").write_text(
        '<a href="a.html#here">x</a><a href="c.html">x</a><script src="//cdn.net/x.js"></script>'
    )
    (tmp_path / "site.css").write_text("@import url(https://fonts.net/x.css);")

    assert problems(tmp_path) == [
        "a.html: b.html#there leads nowhere",
        "b.html: loads //cdn.net/x.js",
        "b.html: c.html leads nowhere",
        "site.css: loads from the web",
    ]
