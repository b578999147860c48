"""The parts of a resource type: how the emulation creates, changes and deletes a resource."""

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from harness.guard import CLOUDFORMATION, SECRET_VARIABLE, own_key

Properties = dict[str, Any]
Tags = list[dict[str, str]]


@cache
def access_key() -> str:
    """Return the access key of CloudFormation's own calls; faults of these are planned by the resource's name."""
    return own_key(os.environ[SECRET_VARIABLE], CLOUDFORMATION)


class ResourceRefused(Exception):
    """A resource cannot be created, changed or deleted; the message is AWS's."""


@dataclass(frozen=True)
class Api:
    """The services' APIs, served by this same server.

    Attributes:
        endpoint: Its URL.
        account: The account's id.
        region: The stack's region.
    """

    endpoint: str
    account: str
    region: str

    def __getattr__(self, service: str) -> Any:  # noqa: ANN401 - boto3's clients
        """Return the client of a service; `_` in its name stands for `-`."""
        return _client(service.replace("_", "-"), self.endpoint, self.region)


@cache
def _client(service: str, endpoint: str, region: str) -> Any:  # noqa: ANN401 - boto3's clients
    session = boto3.session.Session(access_key(), "test", region_name=region)
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    return session.client(service, endpoint_url=endpoint, config=config)  # type: ignore[call-overload]


@dataclass(frozen=True)
class CreatedResource:
    """A resource that was created.

    Attributes:
        physical_id: The value of `Ref`.
        attributes: The values of `Fn::GetAtt`.
    """

    physical_id: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ResourceRequest:
    """A request to create a resource.

    Attributes:
        api: The services' APIs.
        name: A generated name, for a resource without one in the template.
        properties: The evaluated properties from the template.
        exists: Call with the physical ID as soon as the resource exists, so that a later failure can clean it up.
    """

    api: Api
    name: str
    properties: Properties
    exists: Callable[[str], None]

    @property
    def tags(self) -> Tags:
        """Return the tags of the stack and of the resource."""
        tags: Tags = self.properties.get("Tags", [])
        return tags


@dataclass(frozen=True)
class ResourceUpdate:
    """A request to change a resource.

    Attributes:
        api: The services' APIs.
        physical_id: The resource's physical ID.
        old: Its current properties.
        new: Its desired properties.
    """

    api: Api
    physical_id: str
    old: Properties
    new: Properties

    def differs(self, name: str) -> bool:
        """Return whether this property changes."""
        return bool(self.old.get(name) != self.new.get(name))


@dataclass(frozen=True)
class Handler:
    """A resource type.

    Attributes:
        create: Creates a resource.
        delete: Deletes a resource, given its physical ID and its properties.
        properties: The supported properties; others are refused, not ignored.
        mutable: Properties that can change in place; as on AWS, a change of any other replaces the resource.
        update: Changes a resource in place.
        taggable: Whether it takes tags, including the stack's.
    """

    create: Callable[[ResourceRequest], CreatedResource]
    delete: Callable[[Api, str, Properties], None]
    properties: frozenset[str]
    mutable: frozenset[str] = frozenset()
    update: Callable[[ResourceUpdate], None] | None = None
    taggable: bool = True

    def changes_in_place(self, changed: set[str]) -> bool:
        """Return whether these properties can change without replacing the resource."""
        return self.update is not None and changed <= self.mutable | ({"Tags"} if self.taggable else set())


def names(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


def generated_name(stack: str, logical_id: str) -> str:
    """Return a name as CloudFormation generates it, from the stack's name, the logical ID and random characters."""
    return f"{stack}-{logical_id}-{secrets.token_hex(6).upper()}"


def tag_map(tags: Tags) -> dict[str, str]:
    """Return tags as a map, which some services expect."""
    return {tag["Key"]: tag["Value"] for tag in tags}


def dropped_tags(change: ResourceUpdate) -> list[str]:
    """Return the keys of the tags to remove."""
    return sorted(tag_map(change.old.get("Tags", [])).keys() - tag_map(change.new.get("Tags", [])).keys())


def flag(value: Any) -> bool:  # noqa: ANN401 - JSON
    """Return a boolean that may be text because it comes from a parameter."""
    return str(value).lower() == "true"


def reason(error: Exception) -> str:
    """Return an error's message as CloudFormation's events word it."""
    if isinstance(error, ClientError):
        details, status = error.response["Error"], error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        message = f"{details.get('Message', '')} (Code: {details.get('Code', '')}, Status Code: {status})"
        return f'Resource handler returned message: "{message}"'
    return f'Resource handler returned message: "{error}"'
