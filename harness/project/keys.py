"""The keys of harness.toml as a JSON Schema: names, types, limits and defaults of the settings, and their docstrings.

The schema is for editors, so it has no `$ref`: several of them ignore what stands beside one.
"""

import re
from pathlib import Path
from typing import Any

import msgspec

from harness.setting_tables import SettingsFile

# Editors know this version of the language; that of msgspec's schemas is newer, but nothing here differs.
_DIALECT = "http://json-schema.org/draft-07/schema#"
_DEFINITIONS = "#/$defs/"
# An entry of the "Attributes" part of a docstring; its further lines are indented more.
_ATTRIBUTE = re.compile(r"^ {8}(\w+): (.+(?:\n {9,}.+)*)", re.MULTILINE)

Schema = dict[str, Any]


def settings_schema() -> Schema:
    """Return the JSON Schema of harness.toml."""
    schema = msgspec.json.schema(SettingsFile, schema_hook=_path_schema)
    return {"$schema": _DIALECT, **_inlined({"$ref": schema["$ref"]}, schema["$defs"]), "title": "harness.toml"}


def _path_schema(kind: type) -> Schema:
    if kind is Path:
        return {"type": "string", "minLength": 1}
    raise NotImplementedError(kind)


def _inlined(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Return a schema with every reference replaced by what it refers to."""
    name = schema.get("$ref", "").removeprefix(_DEFINITIONS)
    # The defaults of a table are those of its keys.
    own = {} if name else {key: value for key, value in schema.items() if key != "title"}
    if name:
        target = definitions[name]
        own = {key: value for key, value in target.items() if key not in {"title", "description", "required"}}
        own |= {"description": _summary(target)}
        own |= {"required": target["required"]} if target["required"] else {}
        meanings = _attributes(target)
        own["properties"] = {
            key: _inlined(value, definitions) | ({"description": meanings[key]} if key in meanings else {})
            for key, value in target["properties"].items()
        }
    for key in ("additionalProperties", "items"):
        if isinstance(own.get(key), dict):
            own[key] = _inlined(own[key], definitions)
    return _without_null(own, definitions) if "anyOf" in own else own


def _without_null(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Return the schema of a key with several types, or with none as its default: TOML has no null."""
    types = [_inlined(one, definitions) for one in schema.pop("anyOf") if one != {"type": "null"}]
    if schema.get("default", ...) is None:
        del schema["default"]
    return {**schema, **(types[0] if len(types) == 1 else {"anyOf": types})}


def _summary(definition: Schema) -> str:
    summary: str = definition["description"].partition("\n")[0]
    return summary


def _attributes(definition: Schema) -> dict[str, str]:
    return {name: " ".join(text.split()) for name, text in _ATTRIBUTE.findall(definition["description"])}
