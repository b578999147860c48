"""The model file: the schema in it, its version, and the schema beside the partitions that rank 0 reads."""

import hashlib
import io

import msgspec
import numpy as np
import pytest

from tests.support.trained import trained_model
from training.data.schema import SCHEMA_KEY, Column, Schema, encode_schema, schema_digest
from training.errors import InputError
from training.run.model_file import decode_model, encode_model
from training.run.partition import load_schema

SCHEMA = Schema(
    task="classification",
    label="kind",
    classes=["cat", "dog"],
    columns=[Column(name=name, kind="numeric", missing="mean", fill=2.0) for name in "abc"],
)


class Bucket:
    """S3 with a few objects."""

    def __init__(self, objects):
        self.objects = objects

    def get_object(self, *, Bucket, Key):  # noqa: N803 - the names of boto3
        """Return an object."""
        body = self.objects[Bucket, Key]
        return {"Body": io.BytesIO(body), "ContentLength": len(body)}


class Rank(msgspec.Struct):
    """What `load_schema` reads of a worker's job."""

    rank: int = 0
    data_bucket: str = "data"
    data_prefix: str = "set/"
    schema_sha256: str | None = schema_digest(SCHEMA)


def with_arrays(body, **changes):
    """Return the bytes of a model file with other arrays."""
    with np.load(io.BytesIO(body)) as arrays:
        changed = {**arrays, **changes}
    file = io.BytesIO()
    np.savez(file, **changed)
    return file.getvalue()


def test_a_model_without_a_schema_has_the_bytes_of_earlier_versions():
    """The digest is that of the first version."""
    assert (
        hashlib.sha256(encode_model(trained_model())).hexdigest()
        == "3a9d4482f81801c713b121822ef4530873b5120809aeecc0bfc75f4ce4d205bd"
    )


def test_a_schema_is_stored_as_json_and_read_again():
    """Anybody can read it with NumPy, and the answers are the user's labels."""
    body = encode_model(trained_model(schema=SCHEMA))

    with np.load(io.BytesIO(body)) as arrays:
        assert encode_schema(SCHEMA) == arrays["schema"].item()
        assert 2 == arrays["version"]
    assert SCHEMA == decode_model(body, "model.npz").schema
    assert ["cat", "dog"] == decode_model(body, "model.npz").answers


def test_answers_are_numbers_without_a_schema():
    """Labels that are whole numbers are integers."""
    assert [0, 1] == trained_model().answers
    assert [-1, 2.5] == trained_model(labels=np.array([-1, 2.5], np.float32)).answers


@pytest.mark.parametrize("version", [0, 3])
def test_a_model_file_of_another_version_is_refused(version):
    """The message has both versions."""
    with pytest.raises(InputError, match=rf"m.npz is a model file of version {version}; .* reads 1 to 2"):
        decode_model(with_arrays(encode_model(trained_model()), version=version), "m.npz")


def test_a_damaged_schema_is_refused():
    """It is named as such."""
    with pytest.raises(InputError, match="not the schema of a table"):
        decode_model(with_arrays(encode_model(trained_model()), schema=b"{}"), "m.npz")


def test_rank_0_reads_the_schema_beside_the_partitions():
    """The other ranks read nothing, nor does anybody of data without a schema."""
    s3 = Bucket({("data", "set/" + SCHEMA_KEY): encode_schema(SCHEMA)})

    assert SCHEMA == load_schema(s3, Rank())
    assert load_schema(Bucket({}), Rank(rank=1)) is None
    assert load_schema(Bucket({}), Rank(schema_sha256=None)) is None


def test_another_schema_than_the_manifests_is_refused():
    """It may have other classes in another order."""
    other = msgspec.structs.replace(SCHEMA, classes=["dog", "cat"])

    with pytest.raises(InputError, match=r"s3://data/set/schema.json is not the schema that the manifest"):
        load_schema(Bucket({("data", "set/" + SCHEMA_KEY): encode_schema(other)}), Rank())


@pytest.mark.parametrize(
    "arrays",
    [
        {"parameters": np.full(3, np.nan, np.float32)},
        {"parameters": np.zeros(3, np.complex64)},
        {"scale": np.ones(2)},
    ],
)
def test_a_damaged_model_answers_nothing(arrays):
    """Parameters that are no numbers, and half of a standardisation, would predict something."""
    with pytest.raises(InputError, match=r"m\.npz is not a trained model"):
        decode_model(with_arrays(encode_model(trained_model(scaling=None)), **arrays), "m.npz")


@pytest.mark.parametrize("size", [0, 2])
def test_a_model_has_the_parameters_of_its_features(size):
    """One that lacks some is an error, and no failure of the product."""
    trained = trained_model()
    body = with_arrays(encode_model(trained), parameters=np.zeros(trained.n_features + size, np.float32))
    with pytest.raises(InputError, match=r"the model file has .* parameters, and lr on .* features"):
        decode_model(body, "m.npz").predict(np.ones((2, trained.n_features), np.float32))
