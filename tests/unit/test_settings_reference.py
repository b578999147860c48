"""The reference of harness.toml is the settings': the JSON Schema for editors, and the page."""

import re
import tomllib
from pathlib import Path

import jsonschema
import pytest

from harness.errors import HarnessError
from harness.project.keys import settings_schema
from harness.project.reference import PAGE, SCHEMA, page_text, schema_text
from harness.settings import load_settings
from tests.support.documents import blocks_of

ROOT = Path(__file__).parents[2]
FUNCTION = '[functions.hello]\nsource = "src"\nhandler = "app.handler"\n'


def nodes(schema, path=""):
    """Every key of the schema with its path."""
    for key, value in schema.get("properties", {}).items():
        yield f"{path}.{key}", value
        yield from nodes(value, f"{path}.{key}")
        if isinstance(value.get("additionalProperties"), dict):
            yield from nodes(value["additionalProperties"], f"{path}.{key}.NAME")


def refuses(content):
    """Whether an editor with the schema marks this file."""
    return not jsonschema.Draft7Validator(settings_schema()).is_valid(tomllib.loads(content))


def test_the_files_are_those_of_the_code():
    """`python -m harness.project.reference` writes both again."""
    assert schema_text() == SCHEMA.read_text()
    assert page_text(PAGE.read_text()) == PAGE.read_text()


def test_the_page_has_a_table_for_every_table():
    """A section of the page without its mark, or a new table of the settings, is noticed."""
    marks = re.findall(r"^<!-- (\S+) -->$", PAGE.read_text(), re.MULTILINE)
    tables = {path.rpartition(".")[0].lstrip(".") or "top" for path, _ in nodes(settings_schema())}

    assert sorted(tables) == sorted(marks)


def test_every_key_is_described_and_has_its_default():
    """An editor shows what a key means and what it is without a line in the file."""
    found = dict(nodes(settings_schema()))

    assert len(found) > 20
    assert [path for path, schema in found.items() if not schema.get("description", "").endswith(".")] == []
    # What follows from something else when it is absent: the Python of the harness, files beside the handler.
    derived = {".runtime", ".functions.NAME.runtime", ".functions.NAME.requirements"}
    derived |= {f".models.NAME.{key}" for key in ("requirements", "memory_mb", "timeout_s")}  # its worker's
    needed = {".functions.NAME.source", ".functions.NAME.handler", ".models.NAME.path", ".models.NAME.name"}
    tables = {path for path, schema in found.items() if "properties" in schema}
    assert {path for path, schema in found.items() if "default" not in schema} - tables == needed | derived
    assert "null" not in SCHEMA.read_text()


def test_the_projects_own_file_is_valid():
    """Editors mark nothing in it."""
    jsonschema.validate(tomllib.loads((ROOT / "harness.toml").read_text()), settings_schema())


@pytest.mark.parametrize(
    "content",
    [
        f"{FUNCTION}memory = 256",
        f"{FUNCTION}memory_mb = 3",
        f"{FUNCTION}retries = 3",
        f"{FUNCTION}environment = {{ A = 1 }}",
        f"{FUNCTION}include = 'lib'",
        FUNCTION.replace("app.handler", "app"),
        FUNCTION.replace("hello", '"a b"'),
        '[functions.hello]\nhandler = "app.handler"',
        '[stack]\nmode = "odd"',
        "[stack.ports]\nmemcached = 65536",
        "[gateway]\nidle_timeout_s = 0",
        "[stak]",
    ],
)
def test_an_editor_refuses_what_the_harness_refuses(content, tmp_path):
    """The schema has the types, limits and names of the settings."""
    (tmp_path / "harness.toml").write_text(content)

    assert refuses(content)
    with pytest.raises(HarnessError):
        load_settings(tmp_path)


def test_the_examples_of_the_page_are_valid(tmp_path):
    """For the harness and for editors."""
    for block in blocks_of(PAGE):
        (tmp_path / "harness.toml").write_text(block.text)
        load_settings(tmp_path)
        assert not refuses(block.text)
