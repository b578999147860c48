"""The functions of harness.toml: packaged from their folders or found as images, and made as they are declared."""

import base64
import hashlib
from typing import TYPE_CHECKING

import msgspec

from harness.aws.function_deployer import Code, DesiredFunction, create_or_update
from harness.errors import HarnessError
from harness.runs.packing import packed_files, zipped
from harness.settings import FunctionSettings, Settings
from harness.stack.plan import Log
from harness.stack.state import Mode
from training.job import Job
from training.model.catalogue import training_function

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

COORDINATOR = "linear_ec_1"


def declared(settings: Settings, name: str) -> FunctionSettings:
    """The function's table in harness.toml.

    Raises:
        HarnessError: There is none.
    """
    if name not in settings.functions:
        raise HarnessError(
            f"function {name} is not declared",
            f"harness.toml declares {', '.join(settings.functions) or 'none'}",
            f"add a table [functions.{name}]",
        )
    return settings.functions[name]


def worker_function(settings: Settings, job: Job) -> str:
    """Return the name of the function that the coordinator invokes for this job."""
    return training_function(job.model, declared(settings, COORDINATOR).environment)


def for_run(
    settings: Settings, worker: str, *, retry_time_scale: float | None, timeout_s: int | None, memory_mb: int | None
) -> Settings:
    """The settings with what a single run wants otherwise; None leaves a value as it is.

    Args:
        settings: The project's settings.
        worker: The function that trains.
        retry_time_scale: Factor on Lambda's waits before it tries again.
        timeout_s: Time limit of a worker, seconds.
        memory_mb: Memory of a worker, MB.
    """
    changes = {"timeout_s": timeout_s, "memory_mb": memory_mb}
    given = {key: value for key, value in changes.items() if value is not None}
    changed = msgspec.structs.replace(declared(settings, worker), **given)
    gateway = settings.gateway
    if retry_time_scale is not None:
        gateway = msgspec.structs.replace(gateway, retry_time_scale=retry_time_scale)
    return msgspec.structs.replace(settings, gateway=gateway, functions={**settings.functions, worker: changed})


def package(function: FunctionSettings) -> bytes:
    """Return the deployment package: the source folder's files at the root, each included folder under its own name.

    The same files give the same bytes, so that an unchanged function keeps its warm environments.

    Raises:
        HarnessError: A folder does not exist, the handler's module is not in it, or the package is too large.
    """
    files = packed_files(function.source)
    for folder in function.include:
        files |= {f"{folder.name}/{name}": entry for name, entry in packed_files(folder).items()}
    module = function.handler.rpartition(".")[0].replace(".", "/")
    if not {f"{module}.py", f"{module}/__init__.py"} & files.keys():
        raise HarnessError(
            f"handler {function.handler} needs a file {module}.py or {module}/__init__.py",
            f"not found in {function.source}",
            "mend `handler` or `source` of the function in harness.toml",
        )
    return zipped(files)


def make_declared(client: "LambdaClient", name: str, settings: Settings, mode: Mode, *, log: Log) -> Code:
    """Makes a function of harness.toml exist as it is declared, with its code as it is now.

    Args:
        client: Of the stack, or of AWS.
        name: The function.
        settings: The project's settings.
        mode: How the stack runs.
        log: Told when an image is built.

    Returns:
        The code it has.

    Raises:
        HarnessError: The function is not declared, or its folder or image is not as it should be.
    """
    code = code_of(name, settings, mode, log=log)
    create_or_update(client, DesiredFunction(name, declared(settings, name), code))
    return code


def code_of(name: str, settings: Settings, mode: Mode, *, log: Log) -> Code:
    """The code of a declared function: its folder's files in process mode, its image in container mode.

    Args:
        name: The function.
        settings: The project's settings.
        mode: How the stack runs.
        log: Told when an image is built.

    Raises:
        HarnessError: The function is not declared, or its folder or image is not as it should be.
    """
    function = declared(settings, name)
    if mode == "process":
        archive = package(function)
        return Code(base64.b64encode(hashlib.sha256(archive).digest()).decode(), {"ZipFile": archive})
    # The engine's client takes a tenth of a second to import, and process mode does without it.
    from harness.runs.images import current_image  # noqa: PLC0415

    image = current_image(name, function, log=log)
    return Code(image.removeprefix("sha256:"), {"ImageUri": image}, image)
