"""Functions by the Lambda API: packaged from their folders, created when absent, updated when different."""

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from harness.errors import HarnessError
from harness.gateway.limits import ARCHITECTURE
from harness.settings import FunctionSettings, Settings
from harness.stack.plan import Log
from harness.stack.state import Mode

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

RUNTIME: Literal["python3.11"] = "python3.11"
ROLE = "arn:aws:iam::123456789012:role/lambda-harness"
_LEFT_OUT = {"__pycache__", "Dockerfile", ".dockerignore"}
_EPOCH = (1980, 1, 1, 0, 0, 0)


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
    """The deployment package: the source folder's files at the root, each included folder under its own name.

    The same files give the same bytes, so that an unchanged function keeps its warm environments.

    Raises:
        HarnessError: A folder does not exist, or the handler's module is not in it.
    """
    files = dict(_files(function.source))
    for folder in function.include:
        files |= {f"{folder.name}/{name}": path for name, path in _files(folder)}
    module = function.handler.rsplit(".", 1)[0].replace(".", "/") + ".py"
    if module not in files:
        raise HarnessError(
            f"handler {function.handler} needs a file {module}",
            f"not found in {function.source}",
            "mend `handler` or `source` of the function in harness.toml",
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name].read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


@dataclass(frozen=True)
class Code:
    """What a function is created from.

    Attributes:
        sha256: As the Lambda API shows it.
        arguments: For `UpdateFunctionCode`, and within `Code` of `CreateFunction`.
        image: The image's digest; empty for a deployment package.
    """

    sha256: str
    arguments: dict[str, Any]
    image: str = ""


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
    function, code = declared(settings, name), code_of(name, settings, mode, log=log)
    create_or_update(client, name, function, code)
    client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=function.retries)
    client.put_function_recursion_config(
        FunctionName=name, RecursiveLoop="Allow" if function.recursive else "Terminate"
    )
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


def create_or_update(client: "LambdaClient", name: str, function: FunctionSettings, code: Code) -> None:
    """Makes the function exist as it is declared; touches nothing that is so already."""
    try:
        existing = client.get_function_configuration(FunctionName=name)
    except client.exceptions.ResourceNotFoundException:
        if _create(client, name, function, code):
            return
        existing = client.get_function_configuration(FunctionName=name)
    if existing["CodeSha256"] != code.sha256:
        client.update_function_code(FunctionName=name, **code.arguments)
    handler = {} if code.image else {"Handler": function.handler}
    wanted = {
        **handler,
        "Timeout": function.timeout_s,
        "MemorySize": function.memory_mb,
        "EphemeralStorage": {"Size": function.ephemeral_storage_mb},
        "Environment": {"Variables": function.environment},
    }
    if wanted != {key: existing.get(key) for key in wanted}:
        client.update_function_configuration(FunctionName=name, **wanted)  # type: ignore[arg-type]


def _create(client: "LambdaClient", name: str, function: FunctionSettings, code: Code) -> bool:
    """Creates the function; False when another run on the same stack was quicker."""
    kind: dict[str, Any] = {"PackageType": "Zip", "Runtime": RUNTIME, "Handler": function.handler}
    try:
        client.create_function(
            FunctionName=name,
            Role=ROLE,
            Code=code.arguments,  # type: ignore[arg-type]
            Timeout=function.timeout_s,
            MemorySize=function.memory_mb,
            EphemeralStorage={"Size": function.ephemeral_storage_mb},
            Environment={"Variables": function.environment},
            Architectures=[ARCHITECTURE],
            **({"PackageType": "Image"} if code.image else kind),
        )
    except client.exceptions.ResourceConflictException:
        return False
    return True


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    if not folder.is_dir():
        raise HarnessError(f"function folder {folder} does not exist", remedy="mend `source` in harness.toml")
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if path.is_file() and not _LEFT_OUT.intersection(parts):
            yield "/".join(parts), path
