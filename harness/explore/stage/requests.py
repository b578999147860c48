"""A function's request to a service of AWS, read far enough to name it: service, operation, and what it is about.

POST / X-Amz-Target: DynamoDB_20120810.PutItem     JSON          the operation is in a header
POST / Action=Publish&TopicArn=...                 query         in the form
PUT /bucket/key                                    REST          the service's model has method and path of each
"""

import functools
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote

import botocore.loaders
from botocore.exceptions import BotoCoreError

from harness.guard import Signed, name_in, signed_by

# The SDK sends one id with all its attempts at a call.
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
CALL_ID = "amz-sdk-invocation-id"
_LONGEST_TEXT = 200
# Signing names that are not the names of botocore's folders.
_MODELS = {"monitoring": "cloudwatch", "execute-api": "apigatewaymanagementapi", "iotdata": "iot-data", "ses": "sesv2"}
_CBOR = re.compile(r"/service/[^/]+/operation/([^/?]+)$")
_QUIET_MEMBERS = frozenset({"Action", "Version"})


@dataclass(frozen=True)
class StageRequest:
    """One HTTP request.

    Attributes:
        method: Its method.
        target: Path and query, as they were sent.
        headers: Its headers, in order.
        body: Its whole body.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first header of a name in lower case; None if there is none."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def path(self) -> str:
        """Return the path without the query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """Return the query, not decoded."""
        return self.target.partition("?")[2]

    @functools.cached_property
    def signed(self) -> Signed:
        """Return the credentials that sign it."""
        return signed_by(self.header, self.query)

    @property
    def environment(self) -> str:
        """Return the name of the environment whose credentials sign it; empty for others."""
        return name_in(self.signed.key)

    @property
    def service(self) -> str:
        """Return the signing name of its service; without a signature, S3 is the likeliest."""
        return self.signed.service or "s3"

    @property
    def call_id(self) -> str:
        """Return the id that the SDK's attempts at one call share; empty if there is none."""
        return self.header(CALL_ID) or ""

    @property
    def has_json_target(self) -> bool:
        """Return whether a header names the operation, so that errors are JSON, too."""
        return self.header("x-amz-target") is not None

    @functools.cached_property
    def parameters(self) -> dict[str, Any]:
        """Return the parameters in its body, of JSON or of a form; empty if it has neither."""
        kind = self.header("content-type") or ""
        if kind.startswith("application/x-www-form-urlencoded"):
            return dict(parse_qsl(self.body.decode(errors="replace")))
        if "json" in kind and self.body:
            with suppress(ValueError, RecursionError):
                content = json.loads(self.body)
                return content if isinstance(content, dict) else {}
        return {}

    @functools.cached_property
    def operation(self) -> str:
        """Return AWS's name of the operation; method and path if the service's model has none that fits."""
        named = self.header("x-amz-target") or ""
        if named:
            return named.rpartition(".")[2]
        if found := _CBOR.search(self.path):
            return found[1]
        if "Action" in self.parameters:
            return str(self.parameters["Action"])
        return _operation_of(self) or f"{self.method} {self.path}"

    @functools.cached_property
    def about(self) -> str:
        """Return what it is about, for people; empty if that is unknown."""
        path = unquote(self.path)
        if self.service == "s3":
            return f"s3:/{path}" if path != "/" else ""
        if self.service == "lambda":
            found = re.search(r"/functions/([^/]+)", path)
            return _last_part(found[1]) if found else ""
        if self.service == "dynamodb":
            return " ".join(_tables_in(self.parameters))
        for name, value in self.parameters.items():
            if name not in _QUIET_MEMBERS and isinstance(value, str) and name.endswith(("Arn", "Url", "Name", "Id")):
                return _last_part(value)
        return path if path != "/" else ""

    @property
    def text(self) -> str:
        """Return a short text of its body."""
        shown = {name: value for name, value in self.parameters.items() if name not in _QUIET_MEMBERS}
        if shown:
            return _cut(json.dumps(shown, ensure_ascii=False, separators=(",", ":")))
        if not self.body:
            return ""
        try:
            return _cut(self.body.decode())
        except UnicodeDecodeError:
            return f"{len(self.body)} bytes"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"


def _last_part(name: str) -> str:
    return re.split(r"[/:]", unquote(name))[-1]


def _tables_in(parameters: dict[str, Any]) -> list[str]:
    """Return the tables that a call of DynamoDB names, those of batches and transactions too."""
    found: dict[str, None] = {}
    left: list[Any] = [parameters]
    while left:
        node = left.pop(0)
        if isinstance(node, dict):
            if isinstance(node.get("TableName"), str):
                found[_last_part(node["TableName"])] = None
            if isinstance(node.get("RequestItems"), dict):
                found |= {_last_part(name): None for name in node["RequestItems"]}
            left += [value for key, value in node.items() if key in {"TransactItems", "Put", "Update", "Delete", "Get"}]
        elif isinstance(node, list):
            left += [one if "TableName" in one else list(one.values()) for one in node if isinstance(one, dict)]
    return list(found)


@dataclass(frozen=True)
class _Pattern:
    operation: str
    method: str
    path: re.Pattern[str]
    query: dict[str, str]

    @property
    def weight(self) -> tuple[int, int]:
        """Return how closely it describes a request: by its query, then by the literal part of its path."""
        return len(self.query), len(re.sub(r"\(.*?\)", "", self.path.pattern))


def _operation_of(request: StageRequest) -> str:
    given = {name: values[0] for name, values in parse_qs(request.query, keep_blank_values=True).items()}
    for pattern in _patterns(request.service):
        if pattern.method != request.method or not pattern.path.fullmatch(request.path):
            continue
        if all(name in given and value in ("", given[name]) for name, value in pattern.query.items()):
            copies = request.header("x-amz-copy-source") is not None
            return _AS_COPY.get(pattern.operation, pattern.operation) if copies else pattern.operation
    return ""


# Two operations of S3 have the form of others, but for a header.
_AS_COPY = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}
_COPIES = frozenset(_AS_COPY.values())


@functools.cache
def _patterns(service: str) -> list[_Pattern]:
    """Return the forms of a service's operations, the closest first; none if botocore has no such service."""
    try:
        loader = botocore.loaders.Loader()
        model = loader.load_service_model(_MODELS.get(service, service), "service-2")
    except (BotoCoreError, OSError):
        return []
    found = list(_forms(model["operations"], model["shapes"]))
    return sorted(found, key=lambda pattern: pattern.weight, reverse=True)


def _forms(operations: dict[str, Any], shapes: dict[str, Any]) -> Iterator[_Pattern]:
    for name, operation in operations.items():
        if name in _COPIES:
            continue
        path, _, query = operation["http"]["requestUri"].partition("?")
        # `{Key+}` takes the rest of the path, `{Bucket}` one part of it.
        literal = re.split(r"(\{[^}]+\})", path)
        parts = [_member(part) if part.startswith("{") else re.escape(part) for part in literal]
        shape = shapes[operation["input"]["shape"]] if "input" in operation else {}
        members = [shape["members"][member] for member in shape.get("required", ())]
        needed = {member["locationName"]: "" for member in members if member.get("location") == "querystring"}
        needed |= dict(parse_qsl(query, keep_blank_values=True))
        yield _Pattern(name, operation["http"]["method"], re.compile("".join(parts) + "/?"), needed)


def _member(part: str) -> str:
    return "(.+)" if part.endswith("+}") else "([^/]+)"
