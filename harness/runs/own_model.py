"""A model of the user's own: the file or package that defines it, found and checked without running it.

    --model my_model.py:Net         a file and a name in it, relative to the working directory or absolute
    --model my_package:Net          a folder with an `__init__.py`
    --model NAME                    the table [models.NAME] in harness.toml

A file that lies in a package travels with the whole package, so that its relative imports hold.
"""

import ast
import keyword
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from harness.bundle import BUNDLE
from harness.errors import HarnessError
from harness.runs.packing import packed_files
from harness.runtimes.requirements import Requirements, has_inline_requirements, read_requirements
from harness.settings import ModelSettings, Settings
from training.model.catalogue import MODELS

TORCH = {"torch", "torchvision", "torchaudio"}
# Modules beside which a model lies in /var/task, and AWS's own there: a model of that name would hide them.
_TAKEN = {"awslambdaric", "bootstrap", "boto3", "botocore", "dateutil", "harness", "numpy", "scipy", "training", "yaml"}
_HANDLERS = {"linear_ec_1", "linear_ec_2"}
_MOST_NAMES_SHOWN = 6


@dataclass(frozen=True, slots=True)
class OwnModel:
    """A model of the user's own.

    Attributes:
        label: What its function is named after: the name of its table, or of its module and class.
        path: The file, or the folder of the package, that is packed beside the worker.
        file: The file that defines it.
        module: The module that defines it, dotted within a package.
        name: Its name in that module.
        requirements: The files that name what it needs beside the worker's packages.
        imports: The modules that its code imports, by their first names.
        packages: The packages that its requirements name.
        memory_mb: Memory of its workers, MB; None for the worker's.
        timeout_s: Time limit of its workers, seconds; None for the worker's.
    """

    label: str
    path: Path
    file: Path
    module: str
    name: str
    requirements: tuple[str, ...]
    imports: frozenset[str]
    packages: frozenset[str]
    memory_mb: int | None = None
    timeout_s: int | None = None

    @property
    def job_name(self) -> str:
        """Return the model's name in a job: MODULE:NAME."""
        return f"{self.module}:{self.name}"

    @property
    def needs_pytorch(self) -> bool:
        """Return whether it uses PyTorch, or names it among its requirements."""
        return bool((self.imports | self.packages) & TORCH)

    @property
    def has_own_pytorch(self) -> bool:
        """Return whether its requirements name a PyTorch of their own, in place of the worker's."""
        return "torch" in self.packages


def is_own(model: object) -> bool:
    """Return whether a job's model is a text that the catalogue does not have; the job's check refuses other types."""
    return isinstance(model, str) and model not in MODELS


def own_model(text: str, settings: Settings, folder: Path | None = None) -> OwnModel:
    """Return the model that a user names.

    Args:
        text: PATH:NAME, or the name of a table [models.NAME].
        settings: The project's settings.
        folder: The folder from which the path counts; None for the working directory.

    Raises:
        HarnessError: There is no such table, file or name, or a worker could not import the file.
    """
    path, colon, name = text.rpartition(":")
    if not colon:
        if (table := settings.models.get(text)) is None:
            raise _unknown(text, settings)
        return _of_table(text, table)
    if not name.isidentifier() or not path:
        raise HarnessError(
            f"--model {text} names no class", remedy="name a file and what it defines, such as my_model.py:Net"
        )
    found = _found(path, folder or Path.cwd(), settings)
    return _model_of("", found, name, None)


def own_models(settings: Settings) -> list[OwnModel]:
    """Return the models of the tables [models.NAME].

    Raises:
        HarnessError: As in `own_model`; the message names the table.
    """
    return [_of_table(name, table) for name, table in settings.models.items()]


def _of_table(name: str, table: ModelSettings) -> OwnModel:
    if name in MODELS:
        raise HarnessError(
            f"[models.{name}] has the name of a built-in model", remedy="rename the table in harness.toml"
        )
    if not os.path.exists(table.path):  # noqa: PTH110 - `Path.exists` would raise for a closed folder
        raise HarnessError(f"[models.{name}]: {table.path} does not exist", remedy="correct `path` in harness.toml")
    return _model_of(name, table.path, table.name, table)


def _unknown(text: str, settings: Settings) -> HarnessError:
    near = get_close_matches(text, [*MODELS, *settings.models], n=1)
    declared = f"; harness.toml declares {', '.join(settings.models)}" if settings.models else ""
    remedy = "name one of them, or a file and its class: --model my_model.py:Net"
    return HarnessError(
        f"there is no model {text}",
        f"built in are {', '.join(MODELS)}{declared}",
        f"did you mean {near[0]}?" if near else remedy,
    )


def _found(text: str, folder: Path, settings: Settings) -> Path:
    """Return the file or folder of a path, or of a module as a job names it."""
    given = folder / Path(text).expanduser()
    dotted = Path(*text.split(".")) if re.fullmatch(r"\w+(\.\w+)*", text) else None
    ways = [given, given.with_name(f"{given.name}.py")]
    if dotted is not None:
        ways += [root / way for root in (folder, settings.root) for way in (dotted, dotted.with_suffix(".py"))]
    for way in ways:
        if os.path.exists(way):  # noqa: PTH110 - `Path.exists` would raise for a closed folder
            return way
    remedy = "correct the path before the `:`, or give it: --model FILE:NAME"
    raise HarnessError(f"model: there is no file {text}", f"looked for {given}", remedy)


def _model_of(table: str, path: Path, name: str, settings: ModelSettings | None) -> OwnModel:
    path = Path(os.path.abspath(path))  # noqa: PTH100 - links keep the name under which the user knows them
    package, file, parts = _layout(path)
    for part in parts:
        _check_module(part, path)
    _check_taken(parts[0], path)
    tree = _tree(file)
    _check_defines(tree, name, file)
    named = settings.requirements if settings is not None else None
    requirements = _default_requirements(package, file) if named is None else tuple(named)
    packages = [package for each in requirements for package in _read(each).names]
    return OwnModel(
        label=table or "_".join((*parts, name)),
        path=package,
        file=file,
        module=".".join(parts),
        name=name,
        requirements=requirements,
        imports=frozenset(imports_of(package)),
        packages=frozenset(packages),
        memory_mb=settings.memory_mb if settings is not None else None,
        timeout_s=settings.timeout_s if settings is not None else None,
    )


def _read(requirements: str) -> Requirements:
    return read_requirements(Path(requirements), "correct `requirements` of the model in harness.toml")


def _layout(path: Path) -> tuple[Path, Path, list[str]]:
    """Return what is packed, the file that defines the model, and the parts of its module's name."""
    if path.is_dir():
        file, parts = path / "__init__.py", [path.name]
        if not file.is_file():
            raise HarnessError(
                f"{path} is a folder without `__init__.py`",
                remedy="add one that imports the model, or name its file: FOLDER/FILE.py:NAME",
            )
    else:
        if path.suffix != ".py":
            raise HarnessError(f"{path} is not a Python file", remedy="name a file that ends in .py, or a package")
        file, parts = path, [path.stem]
        if path.name == "__init__.py":
            return _layout(path.parent)
    package = path
    while (package.parent / "__init__.py").is_file():
        package = package.parent
        parts.insert(0, package.name)
    return package, file, parts


def _check_module(part: str, path: Path) -> None:
    if not part.isidentifier() or keyword.iskeyword(part) or not part.isascii():
        raise HarnessError(
            f"{path}: `{part}` cannot be imported",
            "a module's name has letters, digits and `_`, and does not begin with a digit",
            "rename the file, for example to my_model.py",
        )


def _check_taken(top: str, path: Path) -> None:
    """Refuse a module that would hide one that workers import."""
    taken = _TAKEN | _HANDLERS | sys.stdlib_module_names | _pinned()
    if top in taken:
        raise HarnessError(
            f"{path}: a worker has a module `{top}` of its own, which the model would hide",
            remedy="rename the file or the folder, for example to my_model.py",
        )


def _pinned() -> set[str]:
    """Return the packages of the workers, by the names of their modules."""
    names = set[str]()
    for file in ("worker.txt", "torch.txt", "lambda-base.txt"):
        names |= read_requirements(BUNDLE / "requirements" / file, "install the harness again").names
    return {name.replace("-", "_") for name in names}


def _tree(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes(), str(file))
    except SyntaxError as error:
        line = f"line {error.lineno}: " if error.lineno else ""
        raise HarnessError(f"{file} is not Python: {line}{error.msg}", remedy="correct it") from error
    except (ValueError, RecursionError) as error:
        raise HarnessError(f"{file} is not Python: {error}", remedy="name a file with Python code") from error
    except OSError as error:
        raise HarnessError(f"{file} cannot be read: {error.strerror}") from error


def _check_defines(tree: ast.Module, name: str, file: Path) -> None:
    """Check that a module defines a name; one that it makes at run time is left to the import."""
    bound = dict.fromkeys(_bound(tree.body))
    if name in bound or "*" in bound or "__getattr__" in bound:
        return
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    shown = ", ".join(classes[:_MOST_NAMES_SHOWN]) or "no class and no function"
    near = get_close_matches(name, list(bound), n=1)
    remedy = f"did you mean {near[0]}?" if near else "name one of them after the `:`"
    raise HarnessError(f"{file} has no {name}", f"it defines {shown}", remedy)


def _bound(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the names that statements bind at the top of a module; `*` for an import of everything."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name))
        else:
            for block in ("body", "orelse", "finalbody"):
                yield from _bound(getattr(node, block, []))
            for handler in getattr(node, "handlers", []):
                yield from _bound(handler.body)


def _default_requirements(package: Path, file: Path) -> tuple[str, ...]:
    """Return the file that names what the model needs: its own block, or the requirements.txt in its folder."""
    if has_inline_requirements(file):
        return (str(file),)
    beside = package / "requirements.txt"
    return (str(beside),) if package.is_dir() and beside.is_file() else ()


def imports_of(source: Path) -> Iterator[str]:
    """Yield the first names of the modules that a model's code imports; other files need not be Python.

    Args:
        source: The file, or the folder of the package.
    """
    whole = source.is_dir()
    files = [entry.path for entry in packed_files(source, None, source.name).values()] if whole else [source]
    for path in files:
        if path.suffix != ".py" or not path.is_file():
            continue
        try:
            nodes = list(ast.walk(ast.parse(path.read_bytes())))
        except (OSError, ValueError, SyntaxError, RecursionError):
            continue
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                yield node.module.partition(".")[0]
