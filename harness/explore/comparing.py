"""Two states beside each other: what one has and the other has not."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from harness.explore.rules import Rules

# An address and its value, as the services hold it; an address may occur several times.
Entry = tuple[str, Any]
# The values at one address.
Values = tuple[Any, ...]


class StateDifference(msgspec.Struct, frozen=True):
    """An address whose entries differ.

    Attributes:
        address: The address, such as `s3://bucket/key`; one that names a run's id or time has a word for it.
        undisturbed: Its values after the undisturbed run: one for an object, several for a queue, none if it is absent.
        found: Its values after the other run.
    """

    address: str
    undisturbed: Values
    found: Values


def normalised(entries: Iterable[Entry], rules: Rules) -> list[Entry]:
    """Return a state as it is compared: without what does not count, in one order."""
    kept = [
        (rules.text(address), rules.value(address, value)) for address, value in entries if not rules.ignores(address)
    ]
    once, found = set(), []
    for address, value in kept:
        encoded = (address, _encoded(value))
        if rules.repeats(address) and encoded in once:
            continue
        once.add(encoded)
        found.append((address, value))
    return sorted(found, key=lambda entry: (entry[0], _encoded(entry[1])))


def differences(undisturbed: Iterable[Entry], found: Iterable[Entry]) -> list[StateDifference]:
    """Return the addresses at which two normalised states differ, in their order.

    A value that both have is left out, unless the two have it in different numbers.
    """
    first, second = (_by_address(state) for state in (undisturbed, found))
    different = []
    for address in sorted(first.keys() | second.keys()):
        before, after = first.get(address, []), second.get(address, [])
        if Counter(map(_encoded, before)) != Counter(map(_encoded, after)):
            different.append(StateDifference(address, *_without_common(before, after)))
    return different


def members(difference: StateDifference) -> list[StateDifference]:
    """Return a difference as those of the members that differ, where one JSON object stands against another.

    Their addresses are those that a rule of `ignore` takes: `s3://bucket/key#total`.
    """
    match difference.undisturbed, difference.found:
        case (({} as before,), ({} as after,)):
            found = _members("", before, after)
            return [StateDifference(f"{difference.address}#{path}", *values) for path, *values in found]
    return [difference]


def _members(inside: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, Values, Values]]:
    for name in sorted(before.keys() | after.keys()):
        values = [(side[name],) if name in side else () for side in (before, after)]
        match values:
            case [({} as left,), ({} as right,)]:
                yield from _members(f"{inside}{name}.", left, right)
            case _ if _encoded(values[0]) != _encoded(values[1]):
                yield f"{inside}{name}", values[0], values[1]


def _without_common(before: list[Any], after: list[Any]) -> tuple[Values, Values]:
    """Leave out the values that both have equally often."""
    counts = [Counter(map(_encoded, values)) for values in (before, after)]

    def differing(values: list[Any]) -> Values:
        return tuple(value for value in values if counts[0][_encoded(value)] != counts[1][_encoded(value)])

    return differing(before), differing(after)


def _by_address(entries: Iterable[Entry]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for address, value in entries:
        found.setdefault(address, []).append(value)
    return found


def _encoded(value: Any) -> bytes:  # noqa: ANN401 - any JSON
    return msgspec.json.encode(value, order="sorted")
