"""When AWS patches a function's runtime.

Here a runtime has one version, that of this machine, so that the settings are stored and shown.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-update.html
"""

from typing import Any, Literal

from harness.gateway.api.operations import Body, Call, Input, operation
from harness.gateway.errors import invalid_parameter
from harness.gateway.names import LATEST, Identifier, function_arn, parse_identifier
from harness.gateway.runtime_versions import runtime_version_arn
from harness.gateway.services import Services

Mode = Literal["Auto", "FunctionUpdate", "Manual"]


class PutRuntimeManagementConfig(Input):
    """Input of PutRuntimeManagementConfig."""

    function_name: str
    update_runtime_on: Mode
    qualifier: str | None = None
    runtime_version_arn: str | None = None


@operation(PutRuntimeManagementConfig)
async def put_runtime_management_config(call: Call[PutRuntimeManagementConfig]) -> Body:
    """Store when a function's runtime is patched; `Manual` names the version, of which there is one."""
    wanted, services = call.input, call.services
    identifier = _existing(services, wanted.function_name, wanted.qualifier)
    if (wanted.update_runtime_on == "Manual") != (wanted.runtime_version_arn is not None):
        raise invalid_parameter("RuntimeVersionArn is needed with UpdateRuntimeOn Manual, and with no other.")
    own = runtime_version_arn(services.functions.find(identifier).runtime)
    if wanted.runtime_version_arn not in (None, own):
        raise invalid_parameter(f"The runtime version {wanted.runtime_version_arn} is not there: {own} is.")
    services.functions.runtime_updates.put(identifier, wanted.update_runtime_on)
    return _view(services, identifier)


class GetRuntimeManagementConfig(Input):
    """Input of GetRuntimeManagementConfig."""

    function_name: str
    qualifier: str | None = None


@operation(GetRuntimeManagementConfig)
async def get_runtime_management_config(call: Call[GetRuntimeManagementConfig]) -> Body:
    """Return when a function's runtime is patched."""
    return _view(call.services, _existing(call.services, call.input.function_name, call.input.qualifier))


def _existing(services: Services, name: str, qualifier: str | None) -> Identifier:
    identifier = parse_identifier(name, qualifier)
    services.functions.find(identifier)
    return Identifier(identifier.name, identifier.qualifier or LATEST)


def _view(services: Services, identifier: Identifier) -> dict[str, Any]:
    mode = services.functions.runtime_updates.get(identifier) or "Auto"
    arn = runtime_version_arn(services.functions.find(identifier).runtime) if mode == "Manual" else None
    return {"UpdateRuntimeOn": mode, "FunctionArn": function_arn(*identifier), "RuntimeVersionArn": arn}
