"""Resource policies: https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html."""

from typing import Any

import msgspec

from harness.gateway.api.operations import Body, Call, Input, operation
from harness.gateway.errors import (
    LambdaApiError,
    function_not_found,
    invalid_parameter,
    not_found,
    policy_changed,
)
from harness.gateway.functions import FunctionStore, new_revision
from harness.gateway.names import LATEST, Identifier, function_arn, parse_identifier
from harness.gateway.policies import Policy, Statement, json_text, principal_of

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_POLICY_BYTES = 20_480


class AddPermission(Input):
    """Input of AddPermission."""

    function_name: str
    statement_id: str
    action: str
    principal: str
    source_arn: str | None = None
    source_account: str | None = None
    event_source_token: str | None = None
    principal_org_id: str | None = msgspec.field(default=None, name="PrincipalOrgID")
    function_url_auth_type: str | None = None
    invoked_via_function_url: bool | None = None
    qualifier: str | None = None
    revision_id: str | None = None


@operation(AddPermission)
async def add_permission(call: Call[AddPermission]) -> Body:
    """Add a statement to the policy of a function, a version or an alias."""
    wanted, functions = call.input, call.services.functions
    identifier = parse_identifier(wanted.function_name, wanted.qualifier)
    if identifier.qualifier == LATEST:
        raise invalid_parameter("We currently do not support adding policies for $LATEST.")
    statement = _statement(wanted, identifier)
    _check_exists(functions, identifier)
    policy = functions.policies.get(identifier) or Policy((), _revision(functions, identifier))
    _check_revision(policy, wanted.revision_id)
    if any(one["Sid"] == wanted.statement_id for one in policy.statements):
        raise LambdaApiError(
            "ResourceConflictException",
            409,
            f"The statement id ({wanted.statement_id}) provided already exists. Please provide a new statement id, or "
            "remove the existing statement.",
        )
    changed = Policy((*policy.statements, statement), new_revision())
    if (size := len(changed.text())) > _POLICY_BYTES:
        raise LambdaApiError(
            "PolicyLengthExceededException",
            400,
            f"The final policy size ({size}) is bigger than the limit ({_POLICY_BYTES}).",
        )
    functions.policies.put(identifier, changed)
    return {"Statement": json_text(statement)}


class GetPolicy(Input):
    """Input of GetPolicy."""

    function_name: str
    qualifier: str | None = None


@operation(GetPolicy)
async def get_policy(call: Call[GetPolicy]) -> Body:
    """Return the policy of a function, a version or an alias."""
    identifier = parse_identifier(call.input.function_name, call.input.qualifier)
    policy = call.services.functions.policies.get(identifier)
    if policy is None:
        raise not_found("The resource you requested does not exist.")
    return {"Policy": policy.text(), "RevisionId": policy.revision}


class RemovePermission(Input):
    """Input of RemovePermission."""

    function_name: str
    statement_id: str
    qualifier: str | None = None
    revision_id: str | None = None


@operation(RemovePermission)
async def remove_permission(call: Call[RemovePermission]) -> Body:
    """Remove a statement; a policy without statements is gone."""
    wanted, functions = call.input, call.services.functions
    identifier = parse_identifier(wanted.function_name, wanted.qualifier)
    try:
        functions.find(Identifier(identifier.name, ""))
    except LambdaApiError as error:
        raise not_found(f"No policy found for: {function_arn(*identifier)}") from error
    _check_exists(functions, identifier)
    policy = functions.policies.get(identifier)
    if policy is None:
        raise not_found("No policy is associated with the given resource.")
    left = tuple(one for one in policy.statements if one["Sid"] != wanted.statement_id)
    if len(left) == len(policy.statements):
        raise not_found(f"Statement {wanted.statement_id} is not found in resource policy.")
    _check_revision(policy, wanted.revision_id)
    if left:
        functions.policies.put(identifier, Policy(left, new_revision()))
    else:
        functions.policies.remove(identifier)
    return None


def _statement(wanted: AddPermission, identifier: Identifier) -> Statement:
    """Return the statement in AWS's form."""
    principal = principal_of(wanted.principal)
    if principal is None:
        raise invalid_parameter("The provided principal was invalid. Please check the principal and try again.")
    if wanted.function_url_auth_type and wanted.action != "lambda:InvokeFunctionUrl":
        raise invalid_parameter("FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action")
    equal = {
        "AWS:SourceAccount": wanted.source_account,
        "lambda:FunctionUrlAuthType": wanted.function_url_auth_type,
        "aws:PrincipalOrgID": wanted.principal_org_id,
        "lambda:EventSourceToken": wanted.event_source_token,
    }
    conditions: dict[str, dict[str, Any]] = {
        "StringEquals": {key: value for key, value in equal.items() if value},
        "Bool": {"lambda:InvokedViaFunctionUrl": "true"} if wanted.invoked_via_function_url else {},
        "ArnLike": {"AWS:SourceArn": wanted.source_arn} if wanted.source_arn else {},
    }
    statement: dict[str, Any] = {
        "Sid": wanted.statement_id,
        "Effect": "Allow",
        "Principal": principal,
        "Action": wanted.action,
        "Resource": function_arn(*identifier),
    }
    condition = {operator: keys for operator, keys in conditions.items() if keys}
    return statement | ({"Condition": condition} if condition else {})


def _check_exists(functions: FunctionStore, identifier: Identifier) -> None:
    """Refuse a function, a version or an alias that does not exist; AWS tells a missing alias by its form."""
    name, qualifier = identifier
    functions.find(Identifier(name, ""))
    if not qualifier or qualifier in {alias.name for alias in functions.aliases(name)}:
        return
    if not qualifier.isdecimal() and "$" not in qualifier:
        raise not_found(f"Cannot find alias arn: {function_arn(name, qualifier)}")
    if qualifier not in {version.version for version in functions.versions(name)}:
        raise function_not_found(function_arn(name, qualifier))


def _revision(functions: FunctionStore, identifier: Identifier) -> str:
    """Return the revision that a caller may name before there is a policy: that of the function or the alias."""
    aliases = {alias.name: alias for alias in functions.aliases(identifier.name)}
    alias = aliases.get(identifier.qualifier)
    return alias.revision if alias is not None else functions.find(identifier).shown_revision


def _check_revision(policy: Policy, revision: str | None) -> None:
    if revision not in (None, policy.revision):
        raise policy_changed()
