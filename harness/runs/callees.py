"""The functions that a function calls, as far as harness.toml declares them.

A function gets the name of another from its environment variables, or has it in its code:

    environment = { WORKER = "resize" }                    in harness.toml
    boto3.client("lambda").invoke(FunctionName="resize")   in its source folder

So both are searched for the names of declared functions, and for their ARNs; included libraries are not, because they
are shared. A name that is only put together at run time is not found: `harness functions create` makes all functions.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from harness.errors import HarnessError
from harness.runs.declared import declared
from harness.runs.functions import make_declared
from harness.runs.packing import packed_files
from harness.runtimes.libraries import unbuilt_packages
from harness.settings import FunctionSettings, Settings, shipped_functions
from harness.stack.plan import Log
from harness.stack.state import Mode

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

# A name, an ARN, or the end of one, each perhaps with a version or an alias.
_REFERENCE = re.compile(r"(?:(?:arn:aws[\w-]*:lambda:[\w-]+:)?\d{12}:function:)?([\w-]{1,64})(?::[\w$-]+)?")


def callees_of(settings: Settings, name: str) -> list[str]:
    """Return the declared and shipped functions that a function calls, directly or through others, without itself.

    Args:
        settings: The project's settings.
        name: A declared function.

    Raises:
        HarnessError: A folder cannot be read.
    """
    known = msgspec.structs.replace(settings, functions={**shipped_functions(), **settings.functions})
    found, to_search = [name], [name]
    while to_search:
        for callee in _named_by(declared(known, to_search.pop()), known):
            if callee not in found:
                found.append(callee)
                to_search.append(callee)
    return found[1:]


def make_callees(client: "LambdaClient", name: str, settings: Settings, mode: Mode, *, log: Log) -> None:
    """Create or update the functions that a function calls; report those that cannot be made, and go on.

    Images of their own and PyTorch are left alone if they were never built: building them may take minutes.

    Args:
        client: Lambda, of the stack.
        name: A declared function.
        settings: The project's settings.
        mode: How the stack runs.
        log: Called when an image is built, and about each function that was not made.

    Raises:
        HarnessError: The function's folder cannot be read.
    """
    for callee in callees_of(settings, name):
        try:
            _check_quick(callee, settings, mode)
            make_declared(client, callee, settings, mode, log=log)
        except HarnessError as error:
            why = "; ".join(str(error).splitlines())
            log(f"{callee}, which {name} may call, was not made: {why}")


def _check_quick(name: str, settings: Settings, mode: Mode) -> None:
    """Raise if minutes would pass before a function is made."""
    if mode == "container":
        # The engine's client takes a tenth of a second to import, and process mode does without it.
        from harness.runs.images import check_built  # noqa: PLC0415

        check_built(name, declared(settings, name))
    elif "torch" in unbuilt_packages(declared(settings, name), settings.cache_dir):
        raise HarnessError("PyTorch is not built for it yet", remedy=f"run `harness functions create {name}`")


def _named_by(function: FunctionSettings, settings: Settings) -> Iterator[str]:
    """Yield the declared functions that a function's variables and code name, in the order of harness.toml."""
    texts = set(function.environment.values())
    for packed in packed_files(function.source, function.exclude).values():
        if packed.path.suffix == ".py" and packed.path.is_file():
            texts |= _texts_in(packed.path, settings)
    named = {found[1] for text in texts if (found := _REFERENCE.fullmatch(text))}
    return (name for name in settings.functions if name in named)


def _texts_in(path: Path, settings: Settings) -> set[str]:
    """Return the texts of a module that contain a declared function's name; none if it is not Python."""
    try:
        code = path.read_text(encoding="utf-8")
        if not any(name in code for name in settings.functions):
            return set()
        nodes = list(ast.walk(ast.parse(code)))
    except (OSError, ValueError, SyntaxError, RecursionError):
        return set()  # its invocation says what is wrong with it
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
