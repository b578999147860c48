"""A CloudFormation stack and its resources, with the attributes by which moto's answers show them."""

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime

from moto.cloudformation.exceptions import UnformattedGetAttTemplateException
from moto.cloudformation.models import Event

from harness.emulation.resources.base import Properties
from harness.emulation.template import EMPTY, Scope, Template, make_scope


@dataclass
class StackResource:
    """A resource that exists, with the attributes by which moto's answers show it.

    Attributes:
        logical_resource_id: Its name in the template.
        cf_resource_type: Its type.
        physical_resource_id: The value of `Ref`.
        attributes: The values of `Fn::GetAtt`.
        properties: Its current properties, including the stack's tags.
        retained: Whether it is kept when the stack drops it.
        resource_status: The status of the last operation on it.
        resource_status_reason: The reason of a failure.
        timestamp: The time of that status.
    """

    logical_resource_id: str
    cf_resource_type: str
    physical_resource_id: str
    attributes: dict[str, str] = field(default_factory=dict)
    properties: Properties = field(default_factory=dict)
    retained: bool = False
    resource_status: str = ""
    resource_status_reason: str = ""
    timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))

    def get_cfn_attribute(self, attribute: str) -> str:
        """Return the value of `Fn::GetAtt`.

        Raises:
            UnformattedGetAttTemplateException: There is no such attribute.
        """
        if attribute not in self.attributes:
            raise UnformattedGetAttTemplateException
        return self.attributes[attribute]


class Stack:
    """One stack, with the attributes by which moto's answers show it."""

    class Meta:
        """The names of attributes that moto's answers call otherwise."""

        serialization_aliases = {"Parameters": "parameter_list", "Outputs": "output_list"}  # noqa: RUF012 - moto's convention

    def __init__(self, stack_id: str, name: str, account_id: str, region_name: str) -> None:
        self.stack_id, self.name = stack_id, name
        self.account_id, self.region_name = account_id, region_name
        self.source: Template = EMPTY
        self.stack_parameters: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.role_arn: str | None = None
        self.notification_arns: list[str] = []
        self.policy = ""
        self.enable_termination_protection = False
        self.disable_rollback = False
        self.creation_time = datetime.now(UTC)
        self.last_updated_time: datetime | None = None
        self.deletion_time: datetime | None = None
        self.status = "REVIEW_IN_PROGRESS"
        self.status_reason = ""
        self.resources: dict[str, StackResource] = {}
        self.outputs: list[dict[str, str]] = []
        self.events: list[Event] = []
        # Set if the stack is deleted during its creation.
        self.cancelled = threading.Event()
        self.work: threading.Thread | None = None

    @property
    def template(self) -> str:
        """Return the template's text."""
        return self.source.body

    @property
    def description(self) -> str:
        """Return the template's description."""
        return self.source.description

    @property
    def parameter_list(self) -> list[dict[str, str]]:
        """Return the parameters as `DescribeStacks` lists them."""
        hidden = {name for name, given in (self.source.content.get("Parameters") or {}).items() if given.get("NoEcho")}
        return [
            {"ParameterKey": name, "ParameterValue": "****" if name in hidden else value}
            for name, value in self.stack_parameters.items()
        ]

    @property
    def output_list(self) -> list[dict[str, str]] | None:
        """Return the outputs as `DescribeStacks` lists them; it omits an empty list."""
        return self.outputs or None

    def scope(self, template: Template, parameters: dict[str, str]) -> Scope:
        """Return the values of all names in a template, including the stack's resources."""
        own = {
            "AWS::AccountId": self.account_id,
            "AWS::Region": self.region_name,
            "AWS::StackId": self.stack_id,
            "AWS::StackName": self.name,
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::Partition": "aws",
        }
        scope = make_scope(template, own, parameters)
        scope.update(self.resources)
        return scope

    def set_status(self, status: str, why: str = "") -> None:
        """Set the stack's status and record an event."""
        self.status, self.status_reason = status, why
        self._event(self.name, self.stack_id, "AWS::CloudFormation::Stack", status, why)

    def set_resource_status(self, resource: StackResource, status: str, why: str = "") -> None:
        """Set a resource's status and record an event."""
        resource.resource_status, resource.resource_status_reason = status, why
        resource.timestamp = datetime.now(UTC)
        self._event(resource.logical_resource_id, resource.physical_resource_id, resource.cf_resource_type, status, why)

    def _event(self, logical_id: str, physical_id: str, kind: str, status: str, why: str) -> None:
        self.events.append(
            Event(
                stack_id=self.stack_id,
                stack_name=self.name,
                logical_resource_id=logical_id,
                physical_resource_id=physical_id,
                resource_type=kind,
                resource_status=status,
                resource_status_reason=why or None,
                resource_properties=None,
            )
        )
