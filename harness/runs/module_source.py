"""A module with one function of a test module and what it needs: the imports, constants, functions and classes.

    test_orders.py                          the package of deploy(price)
    ------------------------------------    ------------------------------------
    import json                             import json
    import pytest
    VAT = 0.19                              VAT = 0.19
    def price(event, context):              def price(event, context):
        return json.dumps(1 + VAT)              return json.dumps(1 + VAT)
    def test_price(lambda_stack): ...

Lines keep their numbers, so that a traceback in the function's log names the lines of the test module.
The function sees nothing else of the test: it runs in another process, as on AWS.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError


@dataclass(frozen=True)
class ModuleSource:
    """A module.

    Attributes:
        name: Its name.
        function: The handler in it.
        text: Its source.
    """

    name: str
    function: str
    text: str


def module_of(function: Callable[..., object]) -> ModuleSource:
    """Return a module with a function and the statements of its own module that it needs.

    Raises:
        HarnessError: The function has no source, or needs variables of the function around it.
    """
    function = inspect.unwrap(function)
    name = getattr(function, "__name__", repr(function))
    path, lines = _source_of(function, name)
    if (outer := function.__code__.co_freevars) and set(outer) - {name}:
        raise HarnessError(
            f"deploy({name}): it uses {', '.join(outer)} of the function around it",
            f"{path}:{function.__code__.co_firstlineno}",
            "pass the value in the event or in environment={...}, or make it a constant of the module",
        )
    tree = ast.parse("".join(lines), str(path))
    own = _definition(tree, name, function.__code__.co_firstlineno)
    if own is None:
        raise HarnessError(f"deploy({name}): its definition was not found", str(path), "write it with `def`, in a file")
    kept = _needed(tree, own)
    out = [""] * len(lines)
    for node in kept:
        for number in range(_first_line(node), (node.end_lineno or node.lineno) + 1):
            out[number - 1] = lines[number - 1]
    if own not in tree.body:
        # A function within a test is indented.
        first, last = _first_line(own), own.end_lineno or own.lineno
        out[first - 1 : last] = textwrap.dedent("".join(lines[first - 1 : last])).splitlines(keepends=True)
    text = "".join(line if line.endswith("\n") else f"{line}\n" for line in out)
    return ModuleSource(path.stem, name, text)


def _source_of(function: Callable[..., object], name: str) -> tuple[Path, list[str]]:
    if not inspect.isfunction(function) or name == "<lambda>":
        raise HarnessError(
            f"deploy({name}): only a function that was written with `def` can be deployed", remedy="write it with `def`"
        )
    try:
        path = Path(inspect.getsourcefile(function) or "")
        # The file as it was imported, even if it has since been edited.
        lines, _ = inspect.findsource(function)
    except OSError as error:
        raise HarnessError(f"deploy({name}): its source cannot be read", str(error), "write it in a file") from error
    return path, lines


def _definition(tree: ast.Module, name: str, line: int) -> ast.FunctionDef | None:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == name and _first_line(node) == line:
            return node
    return None


def _needed(tree: ast.Module, own: ast.FunctionDef) -> list[ast.stmt]:
    """Return the function and the statements of the module that bind the names it uses, directly or not."""
    kept: list[ast.stmt] = [own]
    pending = set(_names_used(own))
    seen = {own.name}
    # `from __future__` changes how everything below it is read.
    futures = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        for node in tree.body:
            if node is not own and name in _names_bound(node) | _names_changed(node) and node not in kept:
                kept.append(node)
                pending |= set(_names_used(node)) - seen
    return [*futures, *kept]


def _names_changed(node: ast.stmt) -> set[str]:
    """Return the names whose objects a statement changes: `logger.setLevel(...)`, `RATES["fr"] = 20`."""
    if isinstance(node, ast.Expr):
        changed = [node.value.func] if isinstance(node.value, ast.Call) else []
    elif isinstance(node, ast.Assign):
        changed = node.targets
    elif isinstance(node, ast.AugAssign):
        changed = [node.target]
    else:
        changed = []
    return {name for one in changed if (name := _root(one))}


def _root(node: ast.expr) -> str:
    """Return the name at the beginning of `name.attribute[...]`; empty if there is none."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _names_bound(node: ast.stmt) -> set[str]:
    """Return the names that a statement at the top of a module binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)}
    # Statements within `if` and `try`.
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef):
            names |= _names_bound(inner)
    return names


def _names_used(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load):
            yield inner.id


def _first_line(node: ast.stmt) -> int:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return node.lineno
