"""Pages of the operations that list: `MaxItems`, and `Marker` as the place where the next page begins."""

import base64
import binascii
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from harness.gateway.errors import invalid_parameter

# https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html - larger numbers return 50.
_MOST = 50

Item = TypeVar("Item")


def page(
    items: Sequence[Item],
    name: str,
    view: Callable[[Item], Any],
    *,
    marker: str | None,
    max_items: int | None,
    most: int = _MOST,
) -> dict[str, Any]:
    """Return one page as the operation's answer.

    Args:
        items: All items, in a stable order.
        name: The answer's key for the items.
        view: Returns an item in AWS's form.
        marker: The last page's `NextMarker`, if this is not the first.
        max_items: The most items that the caller takes; None for the operation's own limit.
        most: The operation's own limit.

    Raises:
        LambdaApiError: The marker is not one of an earlier answer.
    """
    start = _decoded(marker)
    end = start + min(max_items or most, most)
    answer: dict[str, Any] = {name: [view(item) for item in items[start:end]]}
    if end < len(items):
        answer["NextMarker"] = base64.b64encode(str(end).encode()).decode()
    return answer


def _decoded(marker: str | None) -> int:
    if not marker:
        return 0
    with suppress(ValueError, binascii.Error):
        start = int(base64.b64decode(marker, validate=True))
        if start > 0:
            return start
    raise invalid_parameter(f"The Marker '{marker}' is not the NextMarker of an earlier answer.")
