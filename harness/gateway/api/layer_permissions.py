"""The policies of layers' versions: https://docs.aws.amazon.com/lambda/latest/api/API_AddLayerVersionPermission.html."""

from harness.gateway.api.layers import named_version
from harness.gateway.api.operations import Body, Call, Input, operation
from harness.gateway.errors import layer_version_absent
from harness.gateway.layer_store import LayerStore
from harness.gateway.names import layer_arn


class AddLayerVersionPermission(Input):
    """Input of AddLayerVersionPermission."""

    layer_name: str
    version_number: int
    statement_id: str
    action: str
    principal: str
    organization_id: str | None = None
    revision_id: str | None = None


@operation(AddLayerVersionPermission)
async def add_layer_version_permission(call: Call[AddLayerVersionPermission]) -> Body:
    """Allow an account, or all of them, to use a version of a layer."""
    wanted, layers = call.input, call.services.layers
    arn = _existing(layers, wanted.layer_name, wanted.version_number)
    statement, revision = layers.policies.add(
        arn, wanted.statement_id, wanted.action, wanted.principal, wanted.organization_id, wanted.revision_id
    )
    return {"Statement": statement, "RevisionId": revision}


class GetLayerVersionPolicy(Input):
    """Input of GetLayerVersionPolicy."""

    layer_name: str
    version_number: int


@operation(GetLayerVersionPolicy)
async def get_layer_version_policy(call: Call[GetLayerVersionPolicy]) -> Body:
    """Return the policy of a version of a layer."""
    layers = call.services.layers
    policy = layers.policies.get(_existing(layers, call.input.layer_name, call.input.version_number))
    return {"Policy": policy.document(), "RevisionId": policy.revision}


class RemoveLayerVersionPermission(Input):
    """Input of RemoveLayerVersionPermission."""

    layer_name: str
    version_number: int
    statement_id: str
    revision_id: str | None = None


@operation(RemoveLayerVersionPermission)
async def remove_layer_version_permission(call: Call[RemoveLayerVersionPermission]) -> Body:
    """Remove a statement from the policy of a version of a layer."""
    wanted, layers = call.input, call.services.layers
    arn = _existing(layers, wanted.layer_name, wanted.version_number)
    layers.policies.remove_statement(arn, wanted.statement_id, wanted.revision_id)
    return None


def _existing(layers: LayerStore, layer: str, number: int) -> str:
    """Return the ARN of the version that an input identifies.

    Raises:
        LambdaApiError: It does not exist.
    """
    name, number = named_version(layer, number)
    if layers.find(name, number) is None:
        raise layer_version_absent(layer_arn(name, number))
    return layer_arn(name, number)
