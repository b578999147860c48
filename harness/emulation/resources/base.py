"""What a type of resources is: how one of it is created, changed and deleted."""

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
    """Return the key by which the faults know CloudFormation's own calls: a rehearsal strikes a resource by name."""
    return own_key(os.environ[SECRET_VARIABLE], CLOUDFORMATION)


class ResourceRefused(Exception):
    """A resource cannot be created, changed or deleted; says why in AWS's words."""


@dataclass(frozen=True)
class Api:
    """The services' APIs, as this very server answers them.

    Attributes:
        endpoint: Its URL.
        account: The account's id.
        region: The stack's region.
    """

    endpoint: str
    account: str
    region: str

    def __getattr__(self, service: str) -> Any:  # noqa: ANN401 - boto3's clients
        """The client of a service; `_` in its name stands for `-`."""
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
        physical_id: What `Ref` gives.
        attributes: What `Fn::GetAtt` gives.
    """

    physical_id: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ResourceRequest:
    """What a handler is asked.

    Attributes:
        api: The services.
        name: A name for a resource whose template gives it none.
        properties: What the template says, evaluated.
        exists: To be told the physical id when there is more to do: should that fail, the resource is deleted again.
    """

    api: Api
    name: str
    properties: Properties
    exists: Callable[[str], None]

    @property
    def tags(self) -> Tags:
        """The tags of the stack and of the resource."""
        tags: Tags = self.properties.get("Tags", [])
        return tags


@dataclass(frozen=True)
class Change:
    """What a handler is asked to change.

    Attributes:
        api: The services.
        physical_id: The resource.
        old: Its properties as they are.
        new: Its properties as they are to be.
    """

    api: Api
    physical_id: str
    old: Properties
    new: Properties

    def differs(self, name: str) -> bool:
        """Whether this property is to be changed."""
        return bool(self.old.get(name) != self.new.get(name))


@dataclass(frozen=True)
class Handler:
    """A type of resources.

    Attributes:
        create: Creates one.
        delete: Deletes one, given its physical id and its properties.
        properties: The properties that are acted on; any other one is refused, not ignored.
        mutable: Those that can be changed; a change of another one replaces the resource, as on AWS.
        update: Changes one.
        taggable: Whether it takes tags, the stack's among them.
    """

    create: Callable[[ResourceRequest], CreatedResource]
    delete: Callable[[Api, str, Properties], None]
    properties: frozenset[str]
    mutable: frozenset[str] = frozenset()
    update: Callable[[Change], None] | None = None
    taggable: bool = True

    def changes_in_place(self, changed: set[str]) -> bool:
        """Whether a resource stays the same one when these properties change."""
        return self.update is not None and changed <= self.mutable | ({"Tags"} if self.taggable else set())


def names(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


def generated_name(stack: str, logical_id: str) -> str:
    """A name as CloudFormation makes them: the stack's, the logical id, and something random."""
    return f"{stack}-{logical_id}-{secrets.token_hex(6).upper()}"


def tag_map(tags: Tags) -> dict[str, str]:
    """Tags as those services take them that want a map."""
    return {tag["Key"]: tag["Value"] for tag in tags}


def dropped_tags(change: Change) -> list[str]:
    """The keys of the tags that are no longer wanted."""
    return sorted(tag_map(change.old.get("Tags", [])).keys() - tag_map(change.new.get("Tags", [])).keys())


def flag(value: Any) -> bool:  # noqa: ANN401 - JSON
    """A boolean that a parameter may have passed on as text."""
    return str(value).lower() == "true"


def reason(error: Exception) -> str:
    """An error in the words of CloudFormation's events."""
    if isinstance(error, ClientError):
        told, status = error.response["Error"], error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        message = f"{told.get('Message', '')} (Code: {told.get('Code', '')}, Status Code: {status})"
        return f'Resource handler returned message: "{message}"'
    return f'Resource handler returned message: "{error}"'
