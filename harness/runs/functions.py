"""The functions that harness.toml declares: their code, from a folder or an image, and their creation."""

import base64
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.aws.function_deployer import Code, DesiredFunction, create_or_update
from harness.errors import HarnessError
from harness.runs.declared import declared
from harness.runs.layers import ensure_layers
from harness.runs.packing import packed_file, packed_files, zipped
from harness.runtimes.environments import ensure_environment
from harness.runtimes.libraries import ensure_libraries
from harness.settings import FunctionSettings, Settings
from harness.stack.plan import Log
from harness.stack.state import Mode

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

    from harness.runs.model_function import ModelFunction


def inputs_of(function: FunctionSettings) -> list[Path]:
    """Return the folders and files from which a function is built; when one changes, the function may change."""
    named = function.requirements or ()
    requirements = (named,) if isinstance(named, str) else named
    return [Path(os.path.normpath(path)) for path in (function.source, *function.include, *map(Path, requirements))]


def handler_files(function: FunctionSettings) -> list[Path]:
    """Return the files in which the function's handler may be, as far as its own folder is concerned."""
    module = _handler_module(function)
    return [Path(os.path.normpath(function.source / name)) for name in (f"{module}.py", f"{module}/__init__.py")]


def _handler_module(function: FunctionSettings) -> str:
    return function.handler.rpartition(".")[0].replace(".", "/")


def package(function: FunctionSettings, libraries: Sequence[Path] = (), layers: Sequence[Path] = ()) -> bytes:
    """Return the deployment package: the source folder's files at its root, and what is included under its own name.

    Equal files give equal bytes, so that an unchanged function keeps its warm environments.
    Libraries count as if they were in the package, which names them only: the gateway finds them in the cache.

    Args:
        function: The function's table in harness.toml.
        libraries: The folders of its libraries.
        layers: The folders of its layers in the cache.

    Raises:
        HarnessError: A folder does not exist, the handler's module is not in it, or the package is too large.
    """
    files = packed_files(function.source, function.exclude)
    for path in function.include:
        single = os.path.isfile(path)  # noqa: PTH113 - `Path.is_file` would raise for a closed folder
        files |= packed_file(path) if single else packed_files(path, function.exclude, path.name)
    module = function.handler.rpartition(".")[0].replace(".", "/")
    modules = (f"{module}.py", f"{module}/__init__.py")
    if not files.keys() & modules:
        raise _without_module(function, module.partition("/")[0], modules)
    # An image has ten gigabytes; in process mode the package stands for it.
    return zipped(files, libraries, layers, limited=not function.image)


def _without_module(function: FunctionSettings, top: str, modules: tuple[str, str]) -> HarnessError:
    """Return the error about a package without the handler's module, which may lie there and be left out.

    Args:
        function: The function's table in harness.toml.
        top: The first part of the module's name.
        modules: The names in the package that the module's file may have.
    """
    needs = f"handler {function.handler} needs a file {modules[0]} or {modules[1]}"
    roots = [function.source, *(folder.parent for folder in function.include if folder.name == top)]
    for path, name in ((root / name, name) for root in roots for name in modules):
        if os.path.isfile(path):  # noqa: PTH113 - `Path.is_file` would raise if its folder may not be searched
            pattern = f"!/{top}/" if "/" in name else f"!/{name}"
            remedy = f'move it, or put it back with `exclude = ["{pattern}"]`'
            if function.exclude:
                remedy = "mend `exclude` of the function in harness.toml"
            return HarnessError(needs, f"{path} is left out of the package", remedy)
    where = f"not found in {function.source}"
    return HarnessError(needs, where, "mend `handler` or `source` of the function in harness.toml")


def package_with_libraries(function: FunctionSettings, cache: Path, *, log: Log) -> Code:
    """Return the code of a function for process mode; its runtime and libraries are made if they are missing.

    Args:
        function: The function's table in harness.toml.
        cache: The user's cache folder.
        log: Called with the progress if something is made.

    Raises:
        HarnessError: The interpreter or a library is missing, or the package is not valid.
    """
    ensure_environment(cache, function.python, log=log)
    libraries, layers = ensure_libraries(function, cache, log=log), ensure_layers(function, cache, log=log)
    archive = package(function, libraries, layers)
    return Code(base64.b64encode(hashlib.sha256(archive).digest()).decode(), {"ZipFile": archive})


def make_declared(client: "LambdaClient", name: str, settings: Settings, mode: Mode, *, log: Log) -> Code:
    """Create or update a function as harness.toml declares it, with its current code.

    Args:
        client: Lambda, of the stack or of AWS.
        name: The function.
        settings: The project's settings.
        mode: How the stack runs.
        log: Called when an image or libraries are built.

    Returns:
        Its code.

    Raises:
        HarnessError: The function is not declared, or its folder or image is missing or not valid.
    """
    desired = desired_function(name, settings, mode, log=log)
    create_or_update(client, desired)
    return desired.code


def desired_function(name: str, settings: Settings, mode: Mode, *, log: Log) -> DesiredFunction:
    """Return a function as harness.toml declares it, with its current code.

    Args:
        name: The function.
        settings: The project's settings.
        mode: How the stack runs.
        log: Called when an image is built.

    Raises:
        HarnessError: The function is not declared, or its folder or image is missing or not valid.
    """
    return DesiredFunction(name, declared(settings, name), code_of(name, settings, mode, log=log))


def _trainer_of(name: str, settings: Settings) -> "ModelFunction | None":
    """Return the function of a user's own model by its name; None for any other function.

    It imports the catalogue of models only in a project that has models: the tests of a project without any may have a
    module `training` of their own.
    """
    if not settings.models:
        return None
    from harness.runs.model_function import trainer_of  # noqa: PLC0415

    return trainer_of(name, settings)


def _check_model(name: str, settings: Settings, archive: bytes, log: Log) -> None:
    """Import a user's own model from the package of its function, so that a run need not find out that it fails."""
    trainer = _trainer_of(name, settings)
    if trainer is not None:
        from harness.runs.model_import import check_import  # noqa: PLC0415 - see `_trainer_of`

        check_import(trainer.model, archive, trainer.settings.python, settings.cache_dir, log=log)


def code_of(name: str, settings: Settings, mode: Mode, *, log: Log) -> Code:
    """Return the code of a declared function: the files of its folder in process mode, its image in container mode.

    A function without an image gets one of its package and libraries.

    Args:
        name: The function.
        settings: The project's settings.
        mode: How the stack runs.
        log: Called when an image or libraries are built.

    Raises:
        HarnessError: The function is not declared, or its folder or image is missing or not valid.
    """
    function = declared(settings, name)
    if mode == "process":
        code = package_with_libraries(function, settings.cache_dir, log=log)
        _check_model(name, settings, code.arguments["ZipFile"], log)
        return code
    # The engine's client takes a tenth of a second to import, and process mode does without it.
    from harness.runs.images import current_image  # noqa: PLC0415
    from harness.runs.model_image import current_model_image  # noqa: PLC0415
    from harness.runs.package_image import package_image  # noqa: PLC0415

    trainer = _trainer_of(name, settings)
    if trainer is not None and function.image == trainer.name:
        image = current_model_image(trainer, settings, log=log)
    elif function.image:
        image = current_image(name, function, log=log)
    else:
        libraries = ensure_libraries(function, settings.cache_dir, log=log)
        layers = ensure_layers(function, settings.cache_dir, log=log)
        package(function, libraries, layers)  # Lambda's limits hold in both modes
        image = package_image(name, function, package(function), libraries, layers, log=log)
    return Code(image.removeprefix("sha256:"), {"ImageUri": image}, image)
