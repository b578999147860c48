"""The schema of a table, as it travels from the partitioner to the model file."""

import pytest

from training.data.schema import Column, ImageShape, Schema, decode_schema, encode_schema
from training.errors import InputError

SCHEMA = Schema(
    task="classification",
    label="species",
    classes=["cat", 2**60, 0.5],
    columns=[
        Column(name="age", kind="numeric", missing="mean", fill=3.5),
        Column(name="town", kind="one_hot", categories=["Bern", "Rome"]),
        Column(name="size", kind="ordinal", categories=["L", "S"]),
    ],
)


def test_a_schema_survives_its_json() -> None:
    """Reading what was written gives the same schema: large labels and fractions are exact."""
    assert decode_schema(encode_schema(SCHEMA), "schema.json") == SCHEMA


def test_a_schema_names_its_features() -> None:
    """A one-hot column gives one feature per category; images give one per number of a pixel."""
    assert SCHEMA.features == ["age", "town=Bern", "town=Rome", "size"]
    assert SCHEMA.n_features == 4
    images = Schema(task="classification", label=None, classes=["a"], columns=[], image=ImageShape(32, 32, 3))
    assert images.n_features == 3072


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "other.json is not the schema of a table"),
        (b'{"version": 1, "task": "ranking"}', "other.json is not the schema of a table"),
        (b'{"version": 99}', "other.json: the schema has version 99; this version reads up to 1"),
    ],
)
def test_other_json_is_refused(body: bytes, message: str) -> None:
    """What is no schema, or one of a later version, is refused by name."""
    with pytest.raises(InputError, match=message):
        decode_schema(body, "other.json")
