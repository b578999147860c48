"""What moto's services hold, as a list of addresses and values: the state that explorations compare.

    GET /_harness/content   [["s3://inbox/a.csv", "id,sum"], ["dynamodb://orders/7", {"id": "7", "sum": 12}], ...]

An address may occur several times: a queue has one line for each of its messages.
S3, DynamoDB, SQS and SNS are read as their users see them: the objects, the items, the messages.
Other services are read generically, from the attributes of moto's backends.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec
from moto.core.base_backend import BackendDict, BaseBackend

# A text that is longer is compared by its checksum.
LONGEST_TEXT = 1 << 20
# Models that contain models that contain ...: what lies deeper belongs to somebody else.
_DEEPEST = 12
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html#UserMetadata
_METADATA = "x-amz-meta-"
# These hold no state that a function makes: moto's own, sessions, and the functions' logs.
_LEFT_OUT = frozenset({"moto_api", "sts", "logs", "instance_metadata"})

Entry = tuple[str, Any]
# The backends of the services that were called; a reset empties this list and keeps it.
_USED: list[Any] = BackendDict._instances  # type: ignore[misc]  # noqa: SLF001 - moto lists them nowhere else


def content() -> list[Entry]:
    """Return all entries, in the order of their addresses."""
    entries: list[Entry] = []
    # Reading may create further backends, which are empty.
    for backends in list(_USED):
        for _, region, backend in list(backends.iter_backends()):
            service = type(backend).__module__.split(".")[1]
            if service in _LEFT_OUT:
                continue
            read = _READERS.get(service)
            entries += read(backend) if read else _generic(f"{service}://{region}", backend)
    return sorted(entries, key=lambda entry: (entry[0], msgspec.json.encode(entry[1])))


def readable(data: bytes | str) -> Any:  # noqa: ANN401 - any JSON
    """Return a body as JSON or as text; as size and checksum if it is neither, or too long."""
    raw = data.encode() if isinstance(data, str) else data
    if len(raw) <= LONGEST_TEXT:
        try:
            found = msgspec.json.decode(raw)
            return found if isinstance(found, dict | list) else raw.decode()
        except (ValueError, RecursionError):
            pass
        try:
            return raw.decode()
        except UnicodeDecodeError:
            pass
    return f"<{len(raw)} bytes, sha256 {hashlib.sha256(raw).hexdigest()}>"


def _s3(backend: Any) -> Iterator[Entry]:  # noqa: ANN401 - moto's backends have no common interface
    for bucket in list(backend.buckets.values()):
        yield f"s3://{bucket.name}", "bucket"
        for name, key in sorted(bucket.keys.items()):
            # A version's marker of deletion has no value: to a reader there is no object.
            if not hasattr(key, "value"):
                continue
            body = readable(key.value)
            own = {
                header.removeprefix(_METADATA): value
                for header, value in key.metadata.items()
                if header.startswith(_METADATA)
            }
            yield f"s3://{bucket.name}/{name}", {"body": body, "metadata": own} if own else body


def _dynamodb(backend: Any) -> Iterator[Entry]:  # noqa: ANN401 - as above
    for table in list(backend.tables.values()):
        yield f"dynamodb://{table.name}", "table"
        for item in table.all_items():
            keys = [key.value for key in (item.hash_key, item.range_key) if key is not None]
            attributes = {name: _attribute(value) for name, value in item.attrs.items()}
            yield f"dynamodb://{table.name}/{'/'.join(map(str, keys))}", attributes


def _attribute(typed: Any) -> Any:  # noqa: ANN401 - moto's DynamoType, as any JSON
    """Return one of DynamoDB's typed values as plain JSON: `{"N": "7"}` as 7; sets are sorted."""
    read = _TYPES.get(typed.type, str)
    return read(typed.value)


def _number(text: str) -> int | float:
    value = Decimal(text)
    return int(value) if value == value.to_integral_value() else float(value)


# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html
_TYPES: dict[str, Callable[[Any], Any]] = {
    "M": lambda members: {key: _attribute(one) for key, one in members.items()},
    "L": lambda elements: list(map(_attribute, elements)),
    "N": _number,
    "NS": lambda numbers: sorted(map(_number, numbers)),
    "SS": sorted,
    "BS": lambda binaries: sorted(map(str, binaries)),
    "NULL": lambda _: None,
    "BOOL": bool,
}


def _sqs(backend: Any) -> Iterator[Entry]:  # noqa: ANN401 - as above
    for queue in list(backend.queues.values()):
        yield f"sqs://{queue.name}", "queue"
        for message in list(queue._messages):  # noqa: SLF001 - `messages` leaves out those in flight
            named = {
                name: value.get("StringValue", value.get("BinaryValue"))
                for name, value in message.message_attributes.items()
            }
            yield f"sqs://{queue.name}", _message(message.body, named, message.group_id)


def _sns(backend: Any) -> Iterator[Entry]:  # noqa: ANN401 - as above
    for topic in list(backend.topics.values()):
        yield f"sns://{topic.name}", "topic"
        for _, text, subject, attributes, group in topic.sent_notifications:
            named = {name: value.get("Value") for name, value in (attributes or {}).items()}
            yield f"sns://{topic.name}", _message(text, named, group, subject)
    for number, text in backend.sms_messages.values():
        yield f"sns://{number}", readable(text)


def _cloudwatch(backend: BaseBackend) -> Iterator[Entry]:
    """Leave out the metrics that Lambda itself publishes: they count attempts, which every fault changes."""
    for address, value in _generic(f"cloudwatch://{backend.region_name}", backend):
        if not (isinstance(value, dict) and value.get("namespace") == "AWS/Lambda"):
            yield address, value


def _message(body: str, attributes: dict[str, Any], group: str | None, subject: str | None = None) -> Any:  # noqa: ANN401 - any JSON
    """Return a message: its body alone, or with what else its sender gave it."""
    beside = {"subject": subject, "attributes": attributes, "group": group}
    given = {name: value for name, value in beside.items() if value}
    return {"body": readable(body), **given} if given else readable(body)


def _generic(address: str, backend: BaseBackend) -> Iterator[Entry]:
    """Return what a backend holds: one entry for each element of its attributes that are containers."""
    for name, value in sorted(vars(backend).items()):
        place = f"{address}/{name.strip('_')}"
        if isinstance(value, Mapping):
            for key, element in list(value.items()):
                yield f"{place}/{key}", _tree(element, ())
        elif isinstance(value, list | tuple | set | frozenset):
            for element in list(value):
                yield place, _tree(element, ())


def _tree(value: Any, above: tuple[int, ...]) -> Any:  # noqa: ANN401 - any object, as any JSON
    """Return an object as JSON, by its attributes; what is no state (functions, locks, backends) is left out."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if read := next((read for kind, read in _LEAVES.items() if isinstance(value, kind)), None):
        return read(value)
    if id(value) in above or len(above) >= _DEEPEST or isinstance(value, BaseBackend | BackendDict) or callable(value):
        return None
    return _branch(value, (*above, id(value)))


_LEAVES: dict[type, Callable[[Any], Any]] = {
    bytes: readable,
    str: readable,
    datetime: datetime.isoformat,
    date: date.isoformat,
    Decimal: float,
}


def _branch(value: Any, above: tuple[int, ...]) -> Any:  # noqa: ANN401 - as above
    if isinstance(value, Mapping):
        return _members(((str(key), element) for key, element in list(value.items())), above)
    if isinstance(value, list | tuple):
        return [_tree(element, above) for element in list(value)]
    if isinstance(value, set | frozenset):
        return sorted((_tree(element, above) for element in list(value)), key=msgspec.json.encode)
    # moto's own models, and no thread, lock or file.
    if type(value).__module__.startswith("moto."):
        return _members(((name.strip("_"), element) for name, element in list(vars(value).items())), above)
    return None


def _members(members: Iterable[tuple[str, Any]], above: tuple[int, ...]) -> dict[str, Any]:
    found = ((name, _tree(element, above)) for name, element in members)
    return dict(itertools.filterfalse(lambda member: member[1] is None, found))


_READERS: dict[str, Callable[[Any], Iterator[Entry]]] = {
    "s3": _s3,
    "cloudwatch": _cloudwatch,
    "dynamodb": _dynamodb,
    "sqs": _sqs,
    "sns": _sns,
}
