"""Pages of lists: which markers are refused."""

import base64

import pytest

from harness.gateway.api.paging import page
from harness.gateway.errors import LambdaApiError


def paged(items, *, marker=None, max_items=None):
    """Return a page of items that are shown as they are."""
    return page(items, "Items", lambda item: item, marker=marker, max_items=max_items)


def test_a_marker_leads_to_the_next_page():
    """Every item is on one page."""
    first = paged([1, 2, 3], max_items=2)

    assert first["Items"] == [1, 2]
    assert paged([1, 2, 3], marker=first["NextMarker"]) == {"Items": [3]}


@pytest.mark.parametrize("marker", ["nonsense", *(base64.b64encode(one).decode() for one in (b"-1", b"0", b"x"))])
def test_a_marker_of_no_earlier_answer_is_refused(marker):
    """A negative place would count from the end."""
    with pytest.raises(LambdaApiError, match=f"The Marker '{marker}' is not the NextMarker of an earlier answer"):
        paged([1, 2, 3], marker=marker)
