"""AWS::IAM::* and AWS::Budgets::*: permissions, and the limit of the bill."""

import json
from typing import Any

from harness.emulation.resources.base import (
    Api,
    CreatedResource,
    Handler,
    Properties,
    ResourceRequest,
    ResourceUpdate,
    dropped_tags,
    names,
)

# IAM's limit.
_LONGEST_ROLE_NAME = 64


def _create_role(request: ResourceRequest) -> CreatedResource:
    iam, given = request.api.iam, request.properties
    optional = {key: given[key] for key in ("Description", "Path", "PermissionsBoundary") if key in given}
    role = iam.create_role(
        RoleName=given.get("RoleName", _short(request.name)),
        AssumeRolePolicyDocument=json.dumps(given["AssumeRolePolicyDocument"], default=str),
        MaxSessionDuration=int(given.get("MaxSessionDuration", 3600)),
        Tags=request.tags,
        **optional,
    )["Role"]
    request.exists(role["RoleName"])
    _put_policies(request.api, role["RoleName"], given)
    return CreatedResource(role["RoleName"], {"Arn": role["Arn"], "RoleId": role["RoleId"]})


def _short(name: str) -> str:
    """Return a generated name within IAM's limit; its end makes it unique."""
    start, _, end = name.rpartition("-")
    return f"{start[: _LONGEST_ROLE_NAME - len(end) - 1]}-{end}"


def _put_policies(api: Api, role: str, given: Properties) -> None:
    for policy in given.get("Policies", []):
        document = json.dumps(policy["PolicyDocument"], default=str)
        api.iam.put_role_policy(RoleName=role, PolicyName=policy["PolicyName"], PolicyDocument=document)
    for arn in given.get("ManagedPolicyArns", []):
        api.iam.attach_role_policy(RoleName=role, PolicyArn=arn)


def _remove_policies(api: Api, role: str, given: Properties) -> None:
    """Remove the template's policies if they exist."""
    inline = api.iam.list_role_policies(RoleName=role)["PolicyNames"]
    for policy in given.get("Policies", []):
        if policy["PolicyName"] in inline:
            api.iam.delete_role_policy(RoleName=role, PolicyName=policy["PolicyName"])
    attached = api.iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    for arn in {policy["PolicyArn"] for policy in attached} & set(given.get("ManagedPolicyArns", [])):
        api.iam.detach_role_policy(RoleName=role, PolicyArn=arn)


def _update_role(change: ResourceUpdate) -> None:
    iam, role = change.api.iam, change.physical_id
    if change.differs("Policies") or change.differs("ManagedPolicyArns"):
        _remove_policies(change.api, role, change.old)
        _put_policies(change.api, role, change.new)
    if change.differs("AssumeRolePolicyDocument"):
        document = json.dumps(change.new["AssumeRolePolicyDocument"], default=str)
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=document)
    if change.differs("Description") or change.differs("MaxSessionDuration"):
        seconds = int(change.new.get("MaxSessionDuration", 3600))
        iam.update_role(RoleName=role, Description=change.new.get("Description", ""), MaxSessionDuration=seconds)
    if change.differs("Tags"):
        if dropped := dropped_tags(change):
            iam.untag_role(RoleName=role, TagKeys=dropped)
        iam.tag_role(RoleName=role, Tags=change.new.get("Tags", []))


def _delete_role(api: Api, role: str, given: Properties) -> None:
    # As on AWS, policies from elsewhere make the deletion fail.
    _remove_policies(api, role, given)
    api.iam.delete_role(RoleName=role)


def _create_policy(request: ResourceRequest) -> CreatedResource:
    _put_policy(request.api, request.properties)
    return CreatedResource(request.name)


def _put_policy(api: Api, given: Properties) -> None:
    document = json.dumps(given["PolicyDocument"], default=str)
    for role in given["Roles"]:
        api.iam.put_role_policy(RoleName=role, PolicyName=given["PolicyName"], PolicyDocument=document)


def _delete_policy(api: Api, _: str, given: Properties) -> None:
    for role in given["Roles"]:
        api.iam.delete_role_policy(RoleName=role, PolicyName=given["PolicyName"])


def _update_policy(change: ResourceUpdate) -> None:
    _delete_policy(change.api, change.physical_id, change.old)
    _put_policy(change.api, change.new)


def _budget(name: str, given: Properties) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    budget: dict[str, Any] = {**given["Budget"], "BudgetName": given["Budget"].get("BudgetName", name)}
    if "BudgetLimit" in budget:
        limit = budget["BudgetLimit"]
        budget["BudgetLimit"] = {"Amount": str(limit["Amount"]), "Unit": limit["Unit"]}
    notifications = [
        {
            "Notification": {**entry["Notification"], "Threshold": float(entry["Notification"]["Threshold"])},
            "Subscribers": entry["Subscribers"],
        }
        for entry in given.get("NotificationsWithSubscribers", [])
    ]
    return budget, notifications


def _create_budget(request: ResourceRequest) -> CreatedResource:
    budget, notifications = _budget(request.name, request.properties)
    request.api.budgets.create_budget(
        AccountId=request.api.account, Budget=budget, NotificationsWithSubscribers=notifications
    )
    return CreatedResource(budget["BudgetName"])


def _delete_budget(api: Api, name: str, _: Properties) -> None:
    api.budgets.delete_budget(AccountId=api.account, BudgetName=name)


def _update_budget(change: ResourceUpdate) -> None:
    # moto has no UpdateBudget.
    budget, notifications = _budget(change.physical_id, change.new)
    budget["BudgetName"] = change.physical_id
    _delete_budget(change.api, change.physical_id, change.old)
    change.api.budgets.create_budget(
        AccountId=change.api.account, Budget=budget, NotificationsWithSubscribers=notifications
    )


HANDLERS = {
    "AWS::IAM::Role": Handler(
        create=_create_role,
        delete=_delete_role,
        properties=names(
            "RoleName AssumeRolePolicyDocument Description Path PermissionsBoundary MaxSessionDuration Policies "
            "ManagedPolicyArns"
        ),
        mutable=names("AssumeRolePolicyDocument Description MaxSessionDuration Policies ManagedPolicyArns"),
        update=_update_role,
    ),
    "AWS::IAM::Policy": Handler(
        create=_create_policy,
        delete=_delete_policy,
        properties=names("PolicyName PolicyDocument Roles"),
        mutable=names("PolicyName PolicyDocument Roles"),
        update=_update_policy,
        taggable=False,
    ),
    # On AWS, budgets take tags; moto's do not.
    "AWS::Budgets::Budget": Handler(
        create=_create_budget,
        delete=_delete_budget,
        properties=names("Budget NotificationsWithSubscribers ResourceTags"),
        mutable=names("Budget NotificationsWithSubscribers ResourceTags"),
        update=_update_budget,
        taggable=False,
    ),
}
