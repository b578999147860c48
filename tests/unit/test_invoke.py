"""Events of `harness invoke`."""

import pytest

from harness.errors import HarnessError
from harness.runs.invoke import check_event


@pytest.mark.parametrize("event", [b"{", b"\xff\xfe", b'{"loss": NaN}', b"name=you"])
def test_an_event_that_is_not_json_is_named_by_its_origin(event):
    """A user with several files knows which one to mend."""
    with pytest.raises(HarnessError) as caught:
        check_event(event, "--event f/blob.bin")

    assert "--event f/blob.bin: the event is not JSON" == caught.value.what
    assert "JSON in UTF-8" in caught.value.remedy


@pytest.mark.parametrize("event", [b"", b"{}", b"3", '"ü"'.encode()])
def test_any_json_is_an_event(event):
    """Nothing stands for the empty object, as on AWS."""
    check_event(event, "--payload")
