"""What `deploy` deploys: a declared function, a folder, a file or a function of the test module, with its settings."""

import ast
import difflib
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from harness.aws.function_deployer import Code
from harness.errors import HarnessError
from harness.runs.functions import code_of
from harness.runs.module_source import module_of
from harness.settings import FunctionSettings, Settings, with_absolute_paths
from harness.stack.state import Mode

# https://docs.aws.amazon.com/lambda/latest/dg/python-handler.html: the console's default, then what people write.
MODULES = ("lambda_function", "app", "main", "handler", "function", "index")
HANDLERS = ("lambda_handler", "handler", "main")
_EVENT_KEYS = ("on_success", "on_failure", "max_event_age_s")
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9-_]+")
_LONGEST_NAME = 64

Source = str | Path | Callable[..., object]


@dataclass(frozen=True)
class FunctionToDeploy:
    """A function to create.

    Attributes:
        name: Its name.
        settings: Its settings, as a table of harness.toml gives them.
        code: Its package or its image.
        events: Arguments of `UpdateFunctionEventInvokeConfig`; empty if the settings say everything.
    """

    name: str
    settings: FunctionSettings
    code: Code
    events: dict[str, Any]


def deployment_of(
    settings: Settings, mode: Mode, source: Source, *, name: str, config: Mapping[str, Any]
) -> FunctionToDeploy:
    """Find the code and the settings of a function.

    Args:
        settings: The project's settings.
        mode: How the stack runs.
        source: See `LambdaStack.deploy`.
        name: The function's name; empty for that of the source.
        config: See `LambdaStack.deploy`.

    Raises:
        HarnessError: The source or a key is invalid.
    """
    events = {key: config[key] for key in _EVENT_KEYS if key in config}
    own = {key: value for key, value in config.items() if key not in events}
    if isinstance(source, str) and source in settings.functions:
        declared = _changed(settings.functions[source], own, source)
        return FunctionToDeploy(name or source, declared, _code(source, declared, settings, mode), _events(events))
    with tempfile.TemporaryDirectory(prefix="lambda-") as folder:
        found_name, table = _table(settings, source, Path(folder))
        defaults = FunctionSettings(**table, runtime=settings.runtime)
        function = with_absolute_paths(_changed(defaults, own, found_name), settings.root)
        name = name or _as_name(found_name)
        return FunctionToDeploy(name, function, _code(name, function, settings, mode), _events(events))


def name_of(settings: Settings, source: Source) -> str:
    """Return the name of a function that is deployed without one.

    Args:
        settings: The project's settings.
        source: See `LambdaStack.deploy`.
    """
    if isinstance(source, str) and source in settings.functions:
        return source
    if callable(source):
        return _as_name(getattr(source, "__name__", ""))
    path = settings.root / source
    return _as_name(path.stem if path.is_file() else path.resolve().name)


def _code(name: str, function: FunctionSettings, settings: Settings, mode: Mode) -> Code:
    return code_of(name, msgspec.structs.replace(settings, functions={name: function}), mode, log=_silent)


def _table(settings: Settings, source: Source, folder: Path) -> tuple[str, dict[str, Any]]:
    """Return a name and the settings `source` and `handler` of undeclared code.

    Args:
        settings: The project's settings.
        source: The code.
        folder: An empty folder, for code that is no folder itself.
    """
    if not callable(source) and not isinstance(source, str | Path):
        raise HarnessError(
            f"deploy({source!r}): {type(source).__name__} is nothing to deploy",
            remedy="give it a name of harness.toml, a folder, a file, or a function of the test module",
        )
    if callable(source):
        module = module_of(source)
        (folder / f"{module.name}.py").write_text(module.text, encoding="utf-8")
        return module.function, {"source": folder, "handler": f"{module.name}.{module.function}"}
    path = settings.root / source
    if path.is_file():
        handler = _handler_in(path)
        (folder / path.name).write_bytes(path.read_bytes())
        beside = path.parent / "requirements.txt"
        requirements = (str(beside),) if beside.is_file() else None
        return path.stem, {"source": folder, "handler": f"{path.stem}.{handler}", "requirements": requirements}
    if path.is_dir():
        return path.resolve().name, {"source": path, "handler": _handler_below(path)}
    near = difflib.get_close_matches(str(source), settings.functions, n=1)
    declares = ", ".join(settings.functions) or "no function"
    raise HarnessError(
        f"deploy({str(source)!r}): there is no such function, folder or file",
        f"harness.toml declares {declares}; paths start at {settings.root}",
        f"did you mean {near[0]!r}?" if near else "correct the name or the path",
    )


def _changed(function: FunctionSettings, config: Mapping[str, Any], name: str) -> FunctionSettings:
    """Return settings with some keys replaced, checked as those of harness.toml are."""
    known = [field.name for field in msgspec.structs.fields(FunctionSettings)]
    for key in config:
        if key not in known:
            near = difflib.get_close_matches(key, [*known, *_EVENT_KEYS], n=1)
            raise HarnessError(
                f"deploy() got the unknown key {key!r}",
                f"function {name}",
                f"did you mean {near[0]!r}?" if near else f"it takes {', '.join([*known, *_EVENT_KEYS])}",
            )
    values = {**msgspec.structs.asdict(function), **config}
    try:
        return msgspec.convert(values, FunctionSettings, dec_hook=_as_path)
    except msgspec.ValidationError as error:
        words, _, place = str(error).partition(" - at ")
        key = place.strip("`").removeprefix("$").removeprefix(".")
        raise HarnessError(
            f"deploy(): {key}: {words}" if key else f"deploy(): {words}", f"function {name}", "correct that key"
        ) from error


def _events(config: Mapping[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if "max_event_age_s" in config:
        arguments["MaximumEventAgeInSeconds"] = config["max_event_age_s"]
    destinations = {
        key: {"Destination": config[name]}
        for name, key in (("on_success", "OnSuccess"), ("on_failure", "OnFailure"))
        if name in config
    }
    return arguments | ({"DestinationConfig": destinations} if destinations else {})


def _handler_below(folder: Path) -> str:
    for module in MODULES:
        path = folder / f"{module}.py"
        if path.is_file():
            return f"{module}.{_handler_in(path)}"
    modules = sorted(folder.glob("*.py"))
    if len(modules) == 1:
        return f"{modules[0].stem}.{_handler_in(modules[0])}"
    raise HarnessError(
        f"which handler does {folder} have?",
        f"none of its files is named {', '.join(f'{name}.py' for name in MODULES)}",
        'name it: handler = "module.function" in harness.toml, or deploy(..., handler="module.function") in a test',
    )


def _handler_in(path: Path) -> str:
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except SyntaxError:
        # The function will fail with AWS's own words, `Runtime.UserCodeSyntaxError`.
        return HANDLERS[0]
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    for name in HANDLERS:
        if name in names:
            return name
    public = [name for name in names if not name.startswith("_")]
    if len(public) == 1:
        return public[0]
    raise HarnessError(
        f"which function of {path} is the handler?",
        f"none is named {', '.join(HANDLERS)}",
        f'name it: handler = "{path.stem}.NAME" in harness.toml, or deploy(..., handler="{path.stem}.NAME") in a test',
    )


def _as_name(text: str) -> str:
    return _NOT_IN_A_NAME.sub("-", text).strip("-")[:_LONGEST_NAME] or "function"


def _as_path(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError(kind)


def _silent(_line: str) -> None:
    """Discard the message."""
