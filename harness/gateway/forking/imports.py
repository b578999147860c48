"""The imports of a function when it is loaded, read from its source without running it.

The lists contain what a fresh runtime may import before its first invocation, in the same order and with the same
environment variables.
So they omit the function's own modules, which run in each environment, and everything imported inside a function, for
type checkers, or after a module has changed `os.environ`.
A library in the function's folder is told from its own modules by what pip has recorded there.
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
        runtime: Modules that the runtime imports before it looks into the function's folder, and names in modules that
            may be modules, too (from `from a import b`: `a`, `a.b`).
        libraries: The same, of what the function imports.
        bundled: The top-level modules that pip has installed into the function's folder.
        sources: The files of its own modules and of the runtime's.
        services: The AWS services for which these files create clients (`boto3.client("s3")`).
    """

    runtime: list[str]
    libraries: list[str]
    bundled: set[str]
    sources: list[Path]
    services: list[str]


def imported_by(code: Path, handler: str) -> Imports:
    """Return the imports of a function.

    Args:
        code: The function's folder.
        handler: `module.function` in it, in the runtime's notation.
    """
    runtime = importlib.util.find_spec(RUNTIME)
    beside = Path(runtime.origin).parents[1] if runtime is not None and runtime.origin is not None else code
    bundled = bundled_in(code)
    of_runtime = _Reading(beside, {RUNTIME})
    own = _Reading(code, {name for name in _modules_in(code) if name not in bundled})
    with suppress(_StopReading):
        of_runtime.visit(f"{RUNTIME}.__main__")
        own.visit(handler.rpartition(".")[0].replace("/", "."))
    libraries = [name for name in own.found if name not in of_runtime.found]
    sources, services = of_runtime.sources + own.sources, of_runtime.services | own.services
    return Imports(list(of_runtime.found), libraries, bundled, sources, sorted(services))


def bundled_in(code: Path) -> set[str]:
    """Return the top-level modules that pip has installed into a folder.

    https://packaging.python.org/en/latest/specifications/recording-installed-packages/#the-record-file
    """
    found = set()
    for record in code.glob("*.dist-info/RECORD"):
        with suppress(OSError, UnicodeDecodeError):
            lines = record.read_text(encoding="utf-8").splitlines()
            found |= {line.lstrip('"').partition(",")[0].partition("/")[0].partition(".")[0] for line in lines}
    return found - {""}


def _modules_in(folder: Path) -> set[str]:
    return {path.name.partition(".")[0] for path in folder.iterdir()} if folder.is_dir() else set()


class _StopReading(Exception):
    """The remaining imports are left to the runtimes."""


@dataclass
class _Reading:
    """One walk through the modules of a folder.

    Attributes:
        folder: The folder.
        read: The top-level modules in it that are read instead of imported.
        found: The names found so far, in order; the values are unused.
        visited: The folder's modules seen so far.
        sources: The existing files of those modules.
        services: The names of AWS services in them.
    """

    folder: Path
    read: set[str]
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
            if name.partition(".")[0] in self.read:
                self.visit(name)
            elif name.partition(".")[0] not in NEVER:
                self.found[name] = None

    def _source(self, module: str) -> Path | None:
        """Return the file of one of the folder's modules; None if there is no such source file."""
        path = self.folder / Path(*module.split("."))
        return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


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
