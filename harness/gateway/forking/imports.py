"""The imports of a function when it is loaded, read from its source without running it.

The list contains what a fresh runtime may import before its first invocation, in the same order and with the same
environment variables.
So it omits the function's own modules, which run in each environment, and everything imported inside a function, for
type checkers, or after a module has changed `os.environ`.
"""

import ast
import importlib.util
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

RUNTIME = "awslambdaric"
# The runtime's C part reads the address of its API when it is imported, and that differs between environments.
NEVER = {RUNTIME, "runtime_client"}
# The parent has already set this variable as the function would; see `harness.gateway.parents`.
HARMLESS = {"OPENBLAS_NUM_THREADS"}
# Reading a folder that contains whole libraries would take longer than it saves.
MOST_MODULES = 300
_CHANGES = {"setdefault", "update", "pop", "clear", "putenv", "unsetenv"}


@dataclass(frozen=True)
class Imports:
    """The imports of a function when it is loaded.

    Attributes:
        libraries: Modules from outside of its folder, and names in modules that may be modules, too (from
            `from a import b`: `a`, `a.b`).
        sources: The files of its own modules and of the runtime's.
        services: The AWS services for which these files create clients (`boto3.client("s3")`).
    """

    libraries: list[str]
    sources: list[Path]
    services: list[str]


def imported_by(code: Path, handler: str) -> Imports:
    """Return the imports of a function.

    Args:
        code: The function's folder.
        handler: `module.function` in it, in the runtime's notation.
    """
    runtime = importlib.util.find_spec(RUNTIME)
    folders = [code]
    if runtime is not None and runtime.origin is not None:
        folders.append(Path(runtime.origin).parents[1])
    reading = _Reading(code, folders)
    with suppress(_StopReading):
        reading.visit(f"{RUNTIME}.__main__")
        reading.visit(handler.rpartition(".")[0].replace("/", "."))
    return Imports(list(reading.found), reading.sources, sorted(reading.services))


class _StopReading(Exception):
    """The remaining imports are left to the runtimes."""


@dataclass
class _Reading:
    """One walk through a function's modules.

    Attributes:
        code: The function's folder.
        folders: Folders whose modules are read instead of imported; in the second one, only the runtime's.
        found: The names found so far, in order; the values are unused.
        visited: The function's and the runtime's modules seen so far.
        sources: The existing files of those modules.
        services: The names of AWS services in them.
    """

    code: Path
    folders: list[Path]
    found: dict[str, None] = field(default_factory=dict)
    visited: set[str] = field(default_factory=set)
    sources: list[Path] = field(default_factory=list)
    services: set[str] = field(default_factory=set)

    def visit(self, module: str) -> None:
        """Read the imports of a module, after those of the packages that contain it."""
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            if name not in self.visited:
                self.visited.add(name)
                self._read(name)

    def _read(self, module: str) -> None:
        path = self._source(module)
        if path is None:
            return
        if len(self.sources) == MOST_MODULES:
            raise _StopReading
        self.sources.append(path)
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, OSError):
            return  # the runtime will report it, with a traceback
        self.services |= _services(tree)
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for name in _names(tree.body, package):
            if self._is_read(name):
                self.visit(name)
            elif name.partition(".")[0] not in NEVER:
                self.found[name] = None

    def _is_read(self, module: str) -> bool:
        top = module.partition(".")[0]
        own = [self.code / top, self.code / f"{top}.py", *self.code.glob(f"{top}.*.so"), self.code / f"{top}.so"]
        return top == RUNTIME or any(path.exists() for path in own)

    def _source(self, module: str) -> Path | None:
        """Return the file of one of the function's or the runtime's modules; None if there is no such source file."""
        relative = Path(*module.split("."))
        for folder in self.folders if module.partition(".")[0] == RUNTIME else [self.code]:
            for path in (folder / relative / "__init__.py", folder / relative.with_suffix(".py")):
                if path.is_file():
                    return path
        return None


def _names(body: list[ast.stmt], package: str) -> Iterator[str]:
    """Yield the names that the statements import when they run, in order; function bodies do not run then.

    Raises:
        _StopReading: The next statement changes the environment, which the next import may read.
    """
    for statement in body:
        match statement:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = package.rsplit(".", level - 1)[0] if level else ""
                origin = ".".join(filter(None, (base, module)))
                yield origin
                yield from (f"{origin}.{alias.name}" for alias in names if alias.name != "*")
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                continue
            case ast.If(test=test, orelse=orelse) if _is_false(test):
                yield from _names(orelse, package)
            case ast.If() | ast.Try() | ast.With() | ast.ClassDef() | ast.For() | ast.While() | ast.ExceptHandler():
                for name in ("body", "handlers", "orelse", "finalbody"):
                    yield from _names(getattr(statement, name, []), package)
            case _:
                if _changes_environment(statement):
                    raise _StopReading


def _services(tree: ast.Module) -> set[str]:
    """Return the services that a module creates clients for, if it names them literally."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="client" | "create_client"), args=[ast.Constant(str(name)), *_]):
                found.add(name)
    return found


def _is_false(test: ast.expr) -> bool:
    """Return whether the condition is one of the two well-known ones that are false during an import."""
    text = ast.unparse(test)
    return text.rpartition(".")[2] == "TYPE_CHECKING" or text == "__name__ == '__main__'"


def _changes_environment(statement: ast.stmt) -> bool:
    """Return whether a statement writes to `os.environ`, other than a harmless variable."""
    for node in ast.walk(statement):
        match node:
            case ast.Subscript(value=environ, slice=key, ctx=ast.Store() | ast.Del()):
                pass
            case ast.Call(func=ast.Attribute(value=environ, attr=change), args=[key, *_]) if change in _CHANGES:
                pass
            case ast.Call(func=ast.Attribute(value=environ, attr=change)) if change in _CHANGES:
                key = ast.Constant("")
            case _:
                continue
        of_environment = ast.unparse(environ) in {"os", "os.environ", "environ", "os.environb", "environb"}
        if of_environment and not (isinstance(key, ast.Constant) and key.value in HARMLESS):
            return True
    return False
