"""The reference of harness.toml: `python -m harness.project.reference` writes its schema and the tables of its page.

Run it after a change of `harness/settings.py`; tests compare both files with the code.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.project.keys import Schema, settings_schema

SCHEMA = Path(__file__).parents[1] / "harness.schema.json"
PAGE = Path(__file__).parents[2] / "docs" / "harness-toml.md"

_TABLE = re.compile(r"(?<=^<!-- )(?P<table>[\w.]+)( -->\n\n)\|.*?\n(?=\n|\Z)", re.MULTILINE | re.DOTALL)


def schema_text() -> str:
    """Return the content of harness.schema.json."""
    return json.dumps(settings_schema(), indent=2) + "\n"


def page_text(page: str) -> str:
    """Return the page with the tables of keys replaced by those of the code."""
    tables = dict(_tables(settings_schema()))
    return _TABLE.sub(lambda found: f"{found['table']}{found[2]}{_keys_table(tables[found['table']])}\n", page)


def _tables(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield the tables that have keys, each with its name in the page."""
    sections = schema["properties"]
    yield "top", schema
    yield "stack", sections["stack"]
    yield "stack.ports", sections["stack"]["properties"]["ports"]
    yield "gateway", sections["gateway"]
    yield "history", sections["history"]
    yield "functions.NAME", sections["functions"]["additionalProperties"]
    yield "models.NAME", sections["models"]["additionalProperties"]


def _keys_table(table: Schema) -> str:
    lines = ["| key | what it is | allowed | default |", "|---|---|---|---|"]
    for key, schema in table["properties"].items():
        if _is_section(schema):
            continue
        default = "needed" if key in table.get("required", ()) else _default(schema.get("default"))
        lines.append(f"| `{key}` | {schema['description']} | {_allowed(schema)} | {default} |")
    return "\n".join(lines)


def _is_section(schema: Schema) -> bool:
    """Return whether a key is a table with a heading of its own in the page."""
    return "properties" in schema or "properties" in (schema.get("additionalProperties") or {})


def _default(value: Any) -> str:  # noqa: ANN401 - any value of TOML
    return "" if value in (None, "", [], {}) else f"`{json.dumps(value)}`"


def _allowed(schema: Schema) -> str:
    if "anyOf" in schema:
        return " or ".join(_allowed(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    names = {"object": "a table of texts", "string": "a text", "boolean": "`true`, `false`", "integer": "an integer"}
    if schema["type"] == "array":
        return f"a list, each {_allowed(schema['items'])}"
    pattern = f" that matches `{schema['pattern']}`" if "pattern" in schema else ""
    return f"{names.get(schema['type'], 'a number')}{pattern}{_range(schema)}"


def _range(schema: Schema) -> str:
    if "maximum" in schema:
        return f" from {schema['minimum']} to {schema['maximum']}"
    if "exclusiveMinimum" in schema:
        return f" above {schema['exclusiveMinimum']}"
    return f" of at least {schema['minimum']}" if "minimum" in schema else ""


if __name__ == "__main__":
    SCHEMA.write_text(schema_text(), encoding="utf-8")
    PAGE.write_text(page_text(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
