"""Functions: created, read, updated and deleted.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
"""

import asyncio
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from harness.gateway import limits
from harness.gateway.api.changes import creation_of
from harness.gateway.api.operations import Body, Call, Input, operation
from harness.gateway.api.paging import page
from harness.gateway.api.sources import check_source, fetched
from harness.gateway.api.views import code_location, configuration
from harness.gateway.configuration_checks import (
    check_emulated,
    check_handler,
    check_layers,
    check_package_type,
    check_runtime,
    check_runtime_is_given,
    check_snap_start,
    check_tags,
    check_variables,
)
from harness.gateway.errors import LambdaApiError
from harness.gateway.events.destination_checks import check_dead_letter
from harness.gateway.functions import new_revision
from harness.gateway.layer_store import check_size
from harness.gateway.logs.config import Logging, LoggingConfig, logging_after
from harness.gateway.names import check_new_name, function_arn, parse_identifier
from harness.gateway.records import Function
from harness.gateway.requests import (
    DeadLetterConfig,
    EphemeralStorage,
    FunctionCode,
    ImageConfig,
    SnapStart,
    TracingConfig,
    Variables,
    VpcConfig,
)
from harness.gateway.services import Services


class CreateFunction(Input):
    """Input of CreateFunction."""

    function_name: str
    role: str
    code: FunctionCode
    runtime: str = ""
    handler: str = ""
    description: str = ""
    timeout: int = limits.DEFAULT_TIMEOUT_S
    memory_size: int = limits.DEFAULT_MEMORY_MB
    environment: Variables | None = None
    package_type: Literal["Zip", "Image"] = "Zip"
    image_config: ImageConfig = msgspec.field(default_factory=ImageConfig)
    ephemeral_storage: EphemeralStorage = msgspec.field(default_factory=EphemeralStorage)
    architectures: tuple[str] = (limits.ARCHITECTURE,)
    vpc_config: VpcConfig | None = None
    snap_start: SnapStart = msgspec.field(default_factory=SnapStart)
    layers: list[str] = msgspec.field(default_factory=list)
    logging_config: LoggingConfig | None = None
    dead_letter_config: DeadLetterConfig = msgspec.field(default_factory=DeadLetterConfig)
    tracing_config: TracingConfig = msgspec.field(default_factory=TracingConfig)
    kms_key_arn: str = msgspec.field(default="", name="KMSKeyArn")
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    publish: bool = False


@operation(CreateFunction)
async def create_function(call: Call[CreateFunction]) -> Body:
    """Create a function; with `Publish`, its first version too."""
    wanted, services = call.input, call.services
    name = parse_identifier(wanted.function_name).name
    _check_creation(wanted, services, name)
    logging = logging_after(Logging(), wanted.logging_config)
    vpc = None if wanted.vpc_config is None else await services.network.vpc_of(wanted.vpc_config)
    dead_letter = wanted.dead_letter_config.target_arn or ""
    await check_dead_letter(services.destinations, dead_letter, name, wanted.role)
    package = await fetched(wanted.code, services)
    (architecture,) = wanted.architectures
    change = creation_of(services)

    def build() -> Function:
        code = services.functions.packages(name, wanted.code, wanted.image_config, architecture, package)
        # AWS refuses a broken package first.
        if wanted.package_type == "Zip":
            check_emulated(wanted.runtime)
            services.functions.ready(wanted.runtime)
        # Again, within the store's lock: one may have been deleted since.
        layers = services.layers.of_function(wanted.layers)
        check_size(code.folder, layers)
        return Function(
            name=name,
            role=wanted.role,
            runtime=wanted.runtime,
            handler=wanted.handler,
            description=wanted.description,
            timeout_s=wanted.timeout,
            memory_mb=wanted.memory_size,
            environment=wanted.environment.variables if wanted.environment else None,
            package=code,
            modified=datetime.now(UTC),
            revision=new_revision(),
            ephemeral_storage_mb=wanted.ephemeral_storage.size,
            architecture=architecture,
            vpc=vpc,
            layer_versions=layers,
            logging=logging,
            dead_letter=dead_letter,
            tracing=wanted.tracing_config.mode,
            kms_key=wanted.kms_key_arn,
            snap_start=wanted.snap_start.apply_on,
            change=change,
        )

    try:
        # Packages are large: threads keep the event loop free for other invocations.
        function = await asyncio.to_thread(services.functions.create, name, build, wanted.tags)
    except LambdaApiError:
        services.pool.remove_unneeded_code()
        raise
    shown = services.functions.publish(function, None, change) if wanted.publish else function
    # Another call may have deleted or changed it since: its own preparations are the newer ones.
    if services.functions.is_current(function):
        services.pool.prepare(function)
    services.feed.change_code(name, function.package.sha256)
    return {**configuration(shown, change=change), "FunctionArn": function.arn}


def _check_creation(wanted: CreateFunction, services: Services, name: str) -> None:
    check_new_name(name)
    check_runtime(wanted.runtime)
    check_runtime_is_given(wanted.package_type, wanted.runtime, wanted.handler)
    check_package_type(wanted.package_type, wanted.runtime, wanted.handler, wanted.image_config)
    if wanted.package_type == "Zip":
        check_handler(wanted.handler)
    check_source(wanted.code)
    check_variables(wanted.environment.variables if wanted.environment else {})
    check_snap_start(wanted.snap_start.apply_on, wanted.package_type, wanted.runtime, wanted.ephemeral_storage.size)
    check_tags(wanted.tags)
    check_layers(wanted.layers, wanted.package_type, creates=True)
    services.layers.of_function(wanted.layers)
    services.account.check_memory(wanted.memory_size)


class GetFunction(Input):
    """Input of GetFunction."""

    function_name: str
    qualifier: str | None = None


@operation(GetFunction)
async def get_function(call: Call[GetFunction]) -> Body:
    """Return a function's configuration, the location of its code, its tags and its reserved concurrency."""
    function, shown = _asked_for(call.services, call.input.function_name, call.input.qualifier)
    answer: dict[str, Any] = {
        "Configuration": shown,
        "Code": code_location(function, lambda file: call.services.downloads.location(file, call.address)),
    }
    if tags := call.services.functions.tags(function.name):
        answer["Tags"] = tags
    reserved = call.services.account.reserved.get(function.name)
    if reserved is not None:
        answer["Concurrency"] = {"ReservedConcurrentExecutions": reserved}
    return answer


class GetFunctionConfiguration(Input):
    """Input of GetFunctionConfiguration."""

    function_name: str
    qualifier: str | None = None


@operation(GetFunctionConfiguration)
async def get_function_configuration(call: Call[GetFunctionConfiguration]) -> Body:
    """Return a function's configuration."""
    return _asked_for(call.services, call.input.function_name, call.input.qualifier)[1]


def _asked_for(services: Services, name: str, qualifier: str | None) -> tuple[Function, dict[str, Any]]:
    """Return a function, and its configuration with the ARN by which the caller asked for it."""
    identifier = parse_identifier(name, qualifier)
    function = services.functions.find(identifier)
    return function, configuration(function) | {"FunctionArn": function_arn(*identifier)}


class ListFunctions(Input):
    """Input of ListFunctions."""

    function_version: str | None = None
    marker: str | None = None
    max_items: int | None = None


@operation(ListFunctions)
async def list_functions(call: Call[ListFunctions]) -> Body:
    """Return all functions, or all versions of all functions."""
    functions, listed = call.services.functions, call.services.functions.all()
    every = call.input.function_version == "ALL"
    if every:
        listed = [version for function in listed for version in functions.versions(function.name)]
    return page(
        listed,
        "Functions",
        lambda function: configuration(function, states=False, qualified=every),
        marker=call.input.marker,
        max_items=call.input.max_items,
    )


class DeleteFunction(Input):
    """Input of DeleteFunction."""

    function_name: str
    qualifier: str | None = None


@operation(DeleteFunction, status=204)
async def delete_function(call: Call[DeleteFunction]) -> Body:
    """Delete a function with all its versions, or one version."""
    identifier = parse_identifier(call.input.function_name, call.input.qualifier)
    for function in call.services.functions.delete(identifier):
        call.services.pool.retire(function, successor="")
    call.services.provisioned.forget(identifier)
    return None
