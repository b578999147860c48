"""Code signing configurations: https://docs.aws.amazon.com/lambda/latest/api/API_CreateCodeSigningConfig.html."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from harness.gateway.api.operations import Body, Call, Input, operation
from harness.gateway.api.paging import page
from harness.gateway.configuration_checks import check_tags
from harness.gateway.errors import LambdaApiError
from harness.gateway.names import Identifier, function_arn, parse_identifier
from harness.gateway.services import Services
from harness.gateway.signing import SigningConfig, SigningPolicy, new_id


class AllowedPublishers(msgspec.Struct, rename="pascal"):
    """`AllowedPublishers` of the API."""

    signing_profile_version_arns: list[str] = []


class CodeSigningPolicies(msgspec.Struct, rename="pascal"):
    """`CodeSigningPolicies` of the API."""

    untrusted_artifact_on_deployment: SigningPolicy = "Warn"


class CreateCodeSigningConfig(Input):
    """Input of CreateCodeSigningConfig."""

    allowed_publishers: AllowedPublishers
    code_signing_policies: CodeSigningPolicies = msgspec.field(default_factory=CodeSigningPolicies)
    description: str = ""
    tags: dict[str, str] = msgspec.field(default_factory=dict)


@operation(CreateCodeSigningConfig)
async def create_code_signing_config(call: Call[CreateCodeSigningConfig]) -> Body:
    """Create a code signing configuration."""
    wanted = call.input
    check_tags(wanted.tags)
    config = SigningConfig(
        new_id(),
        wanted.allowed_publishers.signing_profile_version_arns,
        wanted.code_signing_policies.untrusted_artifact_on_deployment,
        wanted.description,
        datetime.now(UTC),
        wanted.tags,
    )
    call.services.functions.signing.configs[config.arn] = config
    return {"CodeSigningConfig": _view(config)}


class GetCodeSigningConfig(Input):
    """Input of GetCodeSigningConfig."""

    code_signing_config_arn: str


@operation(GetCodeSigningConfig)
async def get_code_signing_config(call: Call[GetCodeSigningConfig]) -> Body:
    """Return a code signing configuration."""
    return {"CodeSigningConfig": _view(_found(call.services, call.input.code_signing_config_arn))}


class ListCodeSigningConfigs(Input):
    """Input of ListCodeSigningConfigs."""

    marker: str | None = None
    max_items: int | None = None


@operation(ListCodeSigningConfigs)
async def list_code_signing_configs(call: Call[ListCodeSigningConfigs]) -> Body:
    """Return all code signing configurations."""
    configs = list(call.services.functions.signing.configs.values())
    return page(configs, "CodeSigningConfigs", _view, marker=call.input.marker, max_items=call.input.max_items)


class UpdateCodeSigningConfig(Input):
    """Input of UpdateCodeSigningConfig; absent members stay unchanged."""

    code_signing_config_arn: str
    allowed_publishers: AllowedPublishers | None = None
    code_signing_policies: CodeSigningPolicies | None = None
    description: str | None = None


@operation(UpdateCodeSigningConfig)
async def update_code_signing_config(call: Call[UpdateCodeSigningConfig]) -> Body:
    """Change a code signing configuration."""
    wanted = call.input
    before = _found(call.services, wanted.code_signing_config_arn)
    publishers, policies = wanted.allowed_publishers, wanted.code_signing_policies
    config = msgspec.structs.replace(
        before,
        publishers=before.publishers if publishers is None else publishers.signing_profile_version_arns,
        policy=before.policy if policies is None else policies.untrusted_artifact_on_deployment,
        description=before.description if wanted.description is None else wanted.description,
        modified=datetime.now(UTC),
    )
    call.services.functions.signing.configs[config.arn] = config
    return {"CodeSigningConfig": _view(config)}


class DeleteCodeSigningConfig(Input):
    """Input of DeleteCodeSigningConfig."""

    code_signing_config_arn: str


@operation(DeleteCodeSigningConfig)
async def delete_code_signing_config(call: Call[DeleteCodeSigningConfig]) -> Body:
    """Delete a code signing configuration that no function has."""
    signing, arn = call.services.functions.signing, call.input.code_signing_config_arn
    _found(call.services, arn)
    if names := signing.names_of(arn):
        raise LambdaApiError(
            "ResourceConflictException",
            409,
            f"The code signing configuration {arn} is used by functions: {', '.join(names)}",
        )
    del signing.configs[arn]
    return None


class ListFunctionsByCodeSigningConfig(Input):
    """Input of ListFunctionsByCodeSigningConfig."""

    code_signing_config_arn: str
    marker: str | None = None
    max_items: int | None = None


@operation(ListFunctionsByCodeSigningConfig)
async def list_functions_by_code_signing_config(call: Call[ListFunctionsByCodeSigningConfig]) -> Body:
    """Return the ARNs of the functions that have a configuration."""
    config = _found(call.services, call.input.code_signing_config_arn)
    names = sorted(call.services.functions.signing.names_of(config.arn))
    return page(names, "FunctionArns", function_arn, marker=call.input.marker, max_items=call.input.max_items)


class PutFunctionCodeSigningConfig(Input):
    """Input of PutFunctionCodeSigningConfig."""

    function_name: str
    code_signing_config_arn: str


@operation(PutFunctionCodeSigningConfig)
async def put_function_code_signing_config(call: Call[PutFunctionCodeSigningConfig]) -> Body:
    """Give a function a configuration; AWS looks for that first."""
    signing, arn = call.services.functions.signing, call.input.code_signing_config_arn
    if arn not in signing.configs:
        raise LambdaApiError(
            "CodeSigningConfigNotFoundException",
            404,
            "The code signing configuration cannot be found. Check that the provided configuration is not deleted: "
            f"{arn}.",
        )
    name = _function(call.services, call.input.function_name)
    signing.functions.put(Identifier(name, ""), arn)
    return {"CodeSigningConfigArn": arn, "FunctionName": name}


class GetFunctionCodeSigningConfig(Input):
    """Input of GetFunctionCodeSigningConfig."""

    function_name: str


@operation(GetFunctionCodeSigningConfig)
async def get_function_code_signing_config(call: Call[GetFunctionCodeSigningConfig]) -> Body:
    """Return a function's configuration; nothing if it has none."""
    name = _function(call.services, call.input.function_name)
    arn = call.services.functions.signing.functions.get(Identifier(name, ""))
    return {} if arn is None else {"CodeSigningConfigArn": arn, "FunctionName": name}


class DeleteFunctionCodeSigningConfig(Input):
    """Input of DeleteFunctionCodeSigningConfig."""

    function_name: str


@operation(DeleteFunctionCodeSigningConfig)
async def delete_function_code_signing_config(call: Call[DeleteFunctionCodeSigningConfig]) -> Body:
    """Take a function's configuration away; taking away none succeeds."""
    name = _function(call.services, call.input.function_name)
    call.services.functions.signing.functions.remove(Identifier(name, ""))
    return None


def _function(services: Services, identifier: str) -> str:
    return services.functions.find(Identifier(parse_identifier(identifier).name, "")).name


def _found(services: Services, arn: str) -> SigningConfig:
    config = services.functions.signing.configs.get(arn)
    if config is None:
        raise LambdaApiError(
            "ResourceNotFoundException",
            404,
            f"The Lambda code signing configuration {arn} can not be found.",
            typed=False,
        )
    return config


def _view(config: SigningConfig) -> dict[str, Any]:
    return {
        "CodeSigningConfigId": config.id,
        "CodeSigningConfigArn": config.arn,
        "Description": config.description,
        "AllowedPublishers": {"SigningProfileVersionArns": config.publishers},
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": config.policy},
        "LastModified": config.modified.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000",
    }
