"""The manifest beside partitions, as the coordinator reads it."""

import json

import pytest

from training.data.manifest import decode_manifest
from training.errors import InputError


def test_another_programs_object_of_that_name_is_no_manifest():
    """Buckets that the original filled may hold a web application's `manifest.json`; runs on them go on."""
    assert decode_manifest(b'{"name": "app", "icons": []}', "s3://b/manifest.json") is None
    assert 2 == decode_manifest(b'{"n_partitions": 2, "rows_per_partition": [3, 3]}', "s3://b/m").n_partitions


@pytest.mark.parametrize("body", [b"{", b"[1]", json.dumps({"n_partitions": "two"}).encode()])
def test_a_damaged_manifest_is_named(body):
    """What may have been a manifest is not passed over."""
    with pytest.raises(InputError, match=r"manifest\.json is not a manifest of partitions"):
        decode_manifest(body, "s3://b/manifest.json")
