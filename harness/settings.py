"""The settings: `harness.toml` and the environment, read once into frozen records.

    runtime                 the Python of its functions
    [stack]                 the services of a run
    [stack.ports]           their ports, if they are fixed
    [gateway]               the Lambda service
    [history]               the runs that are kept
    [functions.NAME]        one table per function
    [models.NAME]           one table per model of the user's own

`harness.setting_tables` describes every key: docs/harness-toml.md and harness.schema.json are made from it.

Paths in the file are relative to it.
The nearest `harness.toml` in the working directory or above it is used; its folder is the root of the project.
Without a `harness.toml`, the working directory is the root, and everything has its default.
"""

import codecs
import json
import os
import re
from collections import defaultdict
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from harness.bundle import BUNDLE
from harness.errors import HarnessError
from harness.folders import cache_folder, state_folder
from harness.setting_tables import (
    FUNCTION_NAME,
    MODEL_NAME,
    OWN_RUNTIME,
    RUNTIMES,
    FunctionSettings,
    GatewaySettings,
    HistorySettings,
    ModelSettings,
    PortSettings,
    Runtime,
    SettingsFile,
    StackSettings,
)

__all__ = [
    "FILE_NAME",
    "OWN_RUNTIME",
    "RUNTIMES",
    "FunctionSettings",
    "GatewaySettings",
    "HistorySettings",
    "ModelSettings",
    "PortSettings",
    "Runtime",
    "Settings",
    "SettingsFile",
    "StackSettings",
    "load_settings",
    "load_settings_of_any_stack",
    "read_settings",
    "shipped_functions",
    "with_absolute_paths",
]

FILE_NAME = "harness.toml"

Converted = TypeVar("Converted")


class Settings(msgspec.Struct, frozen=True):
    """All settings other than the flags of a command.

    Attributes:
        root: The project's folder.
        cache_dir: The user's cache.
        stack: The services of a run.
        gateway: The Lambda service.
        functions: The project's functions, by name.
        runtime: The runtime of functions that name none.
        models: Models of the user's own, by the name that `--model` takes.
        history: The runs that the project keeps.
    """

    root: Path
    cache_dir: Path
    stack: StackSettings
    gateway: GatewaySettings
    functions: dict[str, FunctionSettings]
    runtime: Runtime = OWN_RUNTIME
    models: dict[str, ModelSettings] = {}
    history: HistorySettings = HistorySettings()

    @property
    def state_dir(self) -> Path:
        """Return the folder for the state and temporary data of this project's stack."""
        return state_folder(self.root)


def load_settings(start: Path | None = None) -> Settings:
    """Return the settings in the nearest `harness.toml`, from `start` (default: the working directory) upwards.

    Without such a file, `start` is the project, all settings have their defaults, and its functions are the training
    functions that the harness ships.

    Raises:
        HarnessError: The file is invalid; the message names the table and the key.
    """
    start = (start or _working_folder()).resolve()
    if (path := _nearest(start)) is None:
        return Settings(start, cache_folder(start), StackSettings(), GatewaySettings(), shipped_functions())
    return read_settings(path)


def read_settings(path: Path) -> Settings:
    """Return the settings in a `harness.toml`, whose folder is the project.

    Args:
        path: The file.

    Raises:
        HarnessError: The file is missing or invalid; the message names the table and the key.
    """
    file = _read(path)
    functions, runtime = _functions_of(file, path.parent), file.runtime or OWN_RUNTIME
    models = {name: _with_paths_from(path.parent, model) for name, model in file.models.items()}
    cache = cache_folder(path.parent)
    return Settings(path.parent, cache, file.stack, file.gateway, functions, runtime, models, file.history)


def load_settings_of_any_stack(tell: Callable[[HarnessError], None]) -> Settings:
    """Return the settings; if `harness.toml` is invalid, tell why, and return its project with nothing but defaults.

    A stack that is up can thus be shown and stopped while its user edits the file.
    """
    try:
        return load_settings()
    except HarnessError as error:
        path = _nearest(_working_folder().resolve())
        if path is None:
            raise
        tell(error)
        return Settings(path.parent, cache_folder(path.parent), StackSettings(), GatewaySettings(), {})


def _nearest(start: Path) -> Path | None:
    # `Path.is_file` would raise if a folder above may not be searched.
    paths = (folder / FILE_NAME for folder in (start, *start.parents))
    return next((path for path in paths if os.path.isfile(path)), None)  # noqa: PTH113


def shipped_functions() -> dict[str, FunctionSettings]:
    """Return the training functions that the harness ships, for projects that declare none of that name."""
    return _functions_of(_read(BUNDLE / FILE_NAME), BUNDLE)


def _functions_of(file: SettingsFile, root: Path) -> dict[str, FunctionSettings]:
    return {name: with_absolute_paths(function, root) for name, function in file.functions.items()}


def _read(path: Path) -> SettingsFile:
    try:
        # Some editors begin a UTF-8 file with this mark; it has no meaning.
        content = msgspec.toml.decode(path.read_bytes().removeprefix(codecs.BOM_UTF8))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        what = f"{FILE_NAME} is not TOML: line {line} is not UTF-8"
        raise HarnessError(what, str(path), "correct that line, or save the file as UTF-8") from error
    except (msgspec.DecodeError, RecursionError) as error:
        remedy = "correct the line named above" if "at line" in str(error) else "correct the file"
        raise HarnessError(f"{FILE_NAME} is not TOML: {error}", str(path), remedy) from error
    except OSError as error:
        raise HarnessError(f"{FILE_NAME} cannot be read: {error.strerror}", str(path)) from error
    return _file_of(content, path)


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise HarnessError(
            "the working folder no longer exists", remedy="change to a folder of the project (`cd`), and try again"
        ) from error


def _file_of(content: dict[str, Any], path: Path) -> SettingsFile:
    functions, models = content.get("functions", {}), content.get("models", {})
    tables: list[tuple[str, Any, type[msgspec.Struct]]] = [
        ("", content, SettingsFile),
        ("stack", content.get("stack"), StackSettings),
        ("stack.ports", _key(content.get("stack"), "ports"), PortSettings),
        ("gateway", content.get("gateway"), GatewaySettings),
        ("history", content.get("history"), HistorySettings),
        *((f"functions.{name}", table, FunctionSettings) for name, table in _items(functions)),
        *((f"models.{name}", table, ModelSettings) for name, table in _items(models)),
    ]
    for name, table, kind in tables:
        for key, _ in _items(table):
            _check_key(key, name, kind, path)
    project_runtime = _convert({"runtime": content.get("runtime")}, SettingsFile, "", path).runtime
    for name, table in _items(functions):
        _check_name(name, path)
        if isinstance(table, dict):
            table.setdefault("runtime", project_runtime)
        # Convert them one by one: for a whole file, msgspec would not name the function, nor the variable.
        for variable, value in _items(_key(table, "environment")):
            _convert(value, str, f"functions.{name}.environment.{variable}", path)
        _convert(table, FunctionSettings, f"functions.{name}", path)
    for name, table in _items(models):
        _check_model_name(name, path)
        _convert(table, ModelSettings, f"models.{name}", path)
    file = _convert(content, SettingsFile, "", path)
    _check_ports(file.stack.ports, path)
    return file


def _check_name(name: str, path: Path) -> None:
    if not re.fullmatch(FUNCTION_NAME, name):
        raise HarnessError(
            f"functions: {_quoted(name)} is not a function's name",
            str(path),
            "a name has 1 to 64 letters, digits, `-` and `_`",
        )


def _check_model_name(name: str, path: Path) -> None:
    if not re.fullmatch(MODEL_NAME, name):
        raise HarnessError(
            f"models: {_quoted(name)} is not a model's name",
            str(path),
            "a name has 1 to 40 letters, digits and `_`, the first a letter",
        )


def _check_ports(ports: PortSettings, path: Path) -> None:
    names = defaultdict(list)
    for name, port in msgspec.structs.asdict(ports).items():
        names[port].append(name)
    for port, sharing in names.items():
        # Moto as S3 serves S3 and the rest of AWS on one port; whether it does is known when the stack starts.
        if port and len(sharing) > 1 and sharing != ["s3", "aws"]:
            raise HarnessError(
                f"[stack.ports] {', '.join(sharing[:-1])} and {sharing[-1]} have the same port {port}",
                str(path),
                "give each another port, or 0 for a free one",
            )


def _check_key(key: str, table: str, kind: type[msgspec.Struct], path: Path) -> None:
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    if key in known:
        return
    near = get_close_matches(key, known, n=1)
    where = f"[{table}]" if table else FILE_NAME
    raise HarnessError(
        f"{where} has the unknown key `{key}`",
        str(path),
        f"did you mean `{near[0]}`?" if near else f"it takes {', '.join(known)}",
    )


def _convert(content: object, kind: type[Converted], table: str, path: Path) -> Converted:
    try:
        return msgspec.convert(content, kind, dec_hook=_decode_path)
    except msgspec.ValidationError as error:
        words, _, place = str(error).partition(" - at ")
        key = place.strip("`").removeprefix("$").removeprefix(".")
        where, remedy = ".".join(part for part in (table, key) if part), _remedy(kind, key, words)
        if kind is FunctionSettings and key == "handler" and "regex" in words:
            words = f"{_quoted(_key(content, key))} is not module.function"
            remedy = 'name the function in its module, such as "app.handler"'
        if kind is ModelSettings and key == "name" and "regex" in words:
            words = f"{_quoted(_key(content, key))} is not the name of a class, a function or an object"
            remedy = 'name it as the file does, such as "Net"'
        raise HarnessError(f"{where}: {words}" if where else words, str(path), remedy) from error


def _remedy(kind: object, key: str, words: str) -> str:
    """Return what to do about an invalid value: the allowed ones, if they are a few words."""
    for part in key.split("."):
        kind = get_type_hints(kind).get(part) if isinstance(kind, type) else None
    types = (kind, *get_args(kind))  # `Literal[...]`, or `Literal[...] | None`
    allowed = [f'"{word}"' for one in types if get_origin(one) is Literal for word in get_args(one)]
    if allowed:
        return f"it takes {' or '.join(allowed)}"
    return "write its value in quotes" if words.startswith("Expected `str`, got `") else "correct that key"


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _items(table: object) -> list[tuple[str, Any]]:
    """Return the items of a table, or nothing if it is not a table: converting it reports that error."""
    return list(table.items()) if isinstance(table, dict) else []


def _key(table: object, key: str) -> object:
    return dict(_items(table)).get(key)


def with_absolute_paths(function: FunctionSettings, root: Path) -> FunctionSettings:
    """Return a function's settings with all paths absolute, those that are not from `root`."""
    return msgspec.structs.replace(
        function,
        source=root / function.source,
        include=tuple(root / folder for folder in function.include),
        requirements=_files_from(root, function.requirements),
        layers=tuple(root / folder for folder in function.layers),
    )


def _with_paths_from(root: Path, model: ModelSettings) -> ModelSettings:
    requirements = _files_from(root, model.requirements)
    return msgspec.structs.replace(model, path=root / model.path, requirements=requirements)


def _files_from(root: Path, named: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
    files = (named,) if isinstance(named, str) else named
    return None if files is None else tuple(str(root / name) for name in files if name)


def _decode_path(type_: type, value: object) -> object:
    if type_ is not Path:
        raise NotImplementedError(type_)
    if not isinstance(value, str):
        raise TypeError(f"Expected `str`, got `{type(value).__name__}`")
    if not value:
        raise ValueError('an empty path; "." is the project\'s folder')
    return Path(value)
