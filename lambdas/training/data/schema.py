"""The schema of a table: how its columns became the features and labels of partitions.

The partitioner stores it in the manifest and as `schema.json` beside the partitions; rank 0 puts it into the model
file, so that a prediction encodes its rows in the same way and answers with the user's labels.
Data without columns, such as LIBSVM text, has none.
The coordinator imports this module and has no NumPy.
"""

import hashlib
from typing import Literal

import msgspec

from training.errors import InputError

SCHEMA_KEY = "schema.json"
# A reader refuses later versions.
SCHEMA_VERSION = 1

Task = Literal["classification", "regression", "clustering"]
ColumnKind = Literal["numeric", "boolean", "one_hot", "ordinal"]
Missing = Literal["refuse", "mean", "zero", "drop"]
# A class as the user knows it: text, a whole number of any size, a fraction, or false and true.
UserLabel = str | int | float | bool


class ImageShape(msgspec.Struct, frozen=True):
    """The shape to which images are scaled.

    Attributes:
        height: Rows of pixels.
        width: Pixels in a row.
        channels: Numbers of a pixel: 3 for red, green and blue.
    """

    height: int
    width: int
    channels: int


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column of features.

    Attributes:
        name: Its name in the source; for a source without names, its number from 0.
        kind: `numeric` and `boolean` (false 0, true 1) give one feature, `ordinal` the number of its category, and
            `one_hot` one feature per category, which is 1 for its own category.
        categories: The values of a categorical column, in the order of their numbers; empty for the other kinds.
        missing: What becomes of a row whose value is missing: an error, the mean of the training data, zero, or the
            row is left out. For `one_hot`, mean and zero both give 0 in all of its features; for `ordinal`, -1.
        fill: The number that replaces a missing value; None where there is none.
    """

    name: str
    kind: ColumnKind
    categories: list[str] = []
    missing: Missing = "refuse"
    fill: float | None = None

    @property
    def width(self) -> int:
        """Return the number of features that the column gives."""
        return len(self.categories) if self.kind == "one_hot" else 1

    @property
    def features(self) -> list[str]:
        """Return the names of its features."""
        if self.kind == "one_hot":
            return [f"{self.name}={category}" for category in self.categories]
        return [self.name]


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """How a table became features and labels.

    Attributes:
        task: What the labels are for: classes, targets, or nothing.
        label: The name of the label column; None where there is none.
        classes: The user's label of each class, by the class's number, which is the label in the partitions; None
            without classes.
        columns: The columns that are features, in their order; empty for images.
        image: The shape of images; None for tables.
        version: The version of this record.
    """

    task: Task
    label: str | None
    classes: list[UserLabel] | None
    columns: list[Column]
    image: ImageShape | None = None
    version: int = SCHEMA_VERSION

    @property
    def n_features(self) -> int:
        """Return the number of features of a row."""
        if self.image is not None:
            return self.image.height * self.image.width * self.image.channels
        return sum(column.width for column in self.columns)

    @property
    def features(self) -> list[str]:
        """Return the names of a row's features; empty for images."""
        return [name for column in self.columns for name in column.features]


def encode_schema(schema: Schema) -> bytes:
    """Return a schema as JSON; equal schemas give equal bytes."""
    return msgspec.json.encode(schema)


def schema_digest(schema: Schema) -> str:
    """Return the SHA-256 of a schema, in hexadecimal."""
    return hashlib.sha256(encode_schema(schema)).hexdigest()


def decode_schema(body: bytes | memoryview, source: str) -> Schema:
    """Read a schema.

    Args:
        body: Its JSON.
        source: Where it comes from, for errors.

    Raises:
        InputError: The bytes are no schema, or one of a later version.
    """
    try:
        version = msgspec.json.decode(body, type=_Version).version
        if version > SCHEMA_VERSION:
            raise InputError(
                f"{source}: the schema has version {version}; this version reads up to {SCHEMA_VERSION}\n"
                "read it with the version that wrote it, or a later one"
            )
        return msgspec.json.decode(body, type=Schema)
    except msgspec.DecodeError as error:
        raise InputError(f"{source} is not the schema of a table ({error})") from error


class _Version(msgspec.Struct):
    version: int
