"""A function's configuration: https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionConfiguration.html."""

import asyncio
from typing import Any

import msgspec

from harness.gateway.api.changes import refuse_during_update, renew, update_of
from harness.gateway.api.operations import Body, Call, Input, operation
from harness.gateway.api.views import configuration
from harness.gateway.configuration_checks import (
    check_emulated,
    check_handler,
    check_layers,
    check_package_type,
    check_runtime,
    check_snap_start,
    check_variables,
)
from harness.gateway.events.destination_checks import check_dead_letter
from harness.gateway.functions import check_revision
from harness.gateway.layer_store import check_size
from harness.gateway.logs.config import LoggingConfig, logging_after
from harness.gateway.records import Function
from harness.gateway.requests import (
    DeadLetterConfig,
    EphemeralStorage,
    ImageConfig,
    SnapStart,
    TracingConfig,
    Variables,
    VpcConfig,
)
from harness.gateway.services import Services


class UpdateFunctionConfiguration(Input):
    """Input of UpdateFunctionConfiguration; absent members stay unchanged."""

    function_name: str
    role: str | None = None
    runtime: str | None = None
    handler: str | None = None
    description: str | None = None
    timeout: int | None = None
    memory_size: int | None = None
    environment: Variables | None = None
    ephemeral_storage: EphemeralStorage | None = None
    image_config: ImageConfig | None = None
    vpc_config: VpcConfig | None = None
    snap_start: SnapStart | None = None
    layers: list[str] | None = None
    logging_config: LoggingConfig | None = None
    dead_letter_config: DeadLetterConfig = msgspec.field(default_factory=DeadLetterConfig)
    tracing_config: TracingConfig | None = None
    kms_key_arn: str | None = msgspec.field(default=None, name="KMSKeyArn")
    revision_id: str | None = None


@operation(UpdateFunctionConfiguration)
async def update_function_configuration(call: Call[UpdateFunctionConfiguration]) -> Body:
    """Change a function's settings."""
    wanted, services = call.input, call.services
    before = services.functions.get(wanted.function_name)
    check_revision(before, wanted.revision_id)
    refuse_during_update(before)
    _check_update(wanted, services, before)
    if layers := services.layers.of_function(wanted.layers or []):
        await asyncio.to_thread(check_size, before.package.folder, layers)
    vpc = None if wanted.vpc_config is None else await services.network.vpc_of(wanted.vpc_config)
    # AWS takes a `DeadLetterConfig` without an ARN for none; an empty ARN removes the queue.
    dead_letter = wanted.dead_letter_config.target_arn
    await check_dead_letter(services.destinations, dead_letter or "", before.name, wanted.role or before.role)
    if wanted.runtime:
        await asyncio.to_thread(services.functions.ready, wanted.runtime)
    change = update_of(services)
    changes = {
        "role": wanted.role,
        "runtime": wanted.runtime,
        "handler": wanted.handler,
        "description": wanted.description,
        "timeout_s": wanted.timeout,
        "memory_mb": wanted.memory_size,
        "environment": None if wanted.environment is None else wanted.environment.variables,
        "ephemeral_storage_mb": None if wanted.ephemeral_storage is None else wanted.ephemeral_storage.size,
        "package": _reconfigured(before, wanted.image_config),
        "vpc": vpc,
        # Looked up again, because one may have been deleted since.
        "layer_versions": None if wanted.layers is None else services.layers.of_function(wanted.layers),
        "logging": logging_after(before.logging, wanted.logging_config),
        "dead_letter": dead_letter,
        "tracing": None if wanted.tracing_config is None else wanted.tracing_config.mode,
        "kms_key": wanted.kms_key_arn,
        "snap_start": None if wanted.snap_start is None else wanted.snap_start.apply_on,
        "change": change,
    }
    function = services.functions.change(before, **{key: one for key, one in changes.items() if one is not None})
    renew(services, before)
    return configuration(function, change=change)


def _check_update(wanted: UpdateFunctionConfiguration, services: Services, before: Function) -> None:
    package_type = "Zip" if before.image is None else "Image"
    check_package_type(package_type, wanted.runtime, wanted.handler, wanted.image_config)
    if wanted.handler is not None:
        check_handler(wanted.handler)
    check_runtime(wanted.runtime)
    check_emulated(wanted.runtime)
    check_variables(wanted.environment.variables if wanted.environment else {})
    if wanted.memory_size is not None:
        services.account.check_memory(wanted.memory_size)
    check_layers(wanted.layers or (), package_type)
    check_snap_start(
        before.snap_start if wanted.snap_start is None else wanted.snap_start.apply_on,
        package_type,
        wanted.runtime or before.runtime,
        before.ephemeral_storage_mb if wanted.ephemeral_storage is None else wanted.ephemeral_storage.size,
    )


def _reconfigured(function: Function, config: ImageConfig | None) -> Any:  # noqa: ANN401 - a field of the record
    if config is None or function.image is None:
        return None
    image = msgspec.structs.replace(
        function.image,
        entry_point=tuple(config.entry_point),
        command=tuple(config.command),
        working_directory=config.working_directory,
    )
    return msgspec.structs.replace(function.package, image=image)
