"""What a user says about a table: its files, and what its columns are for."""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self

from training.data.schema import Missing, Task
from training.errors import InputError

TableForm = Literal["csv", "parquet", "npy", "npz"]
Categorical = Literal["one-hot", "ordinal"]
Header = Literal["auto", "yes", "no"]

# A column of text with more different values is no category, unless the user says so.
MOST_CATEGORIES = 100


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """What the columns of a table are for.

    Attributes:
        label: The name of the label column; None for the usual names, else the last column.
        task: What the labels are for; None where the data decides.
        missing: What becomes of rows with missing values.
        categorical: How columns of text become numbers.
        most_categories: The largest number of different values of such a column.
        drop: Columns to leave out.
        header: Whether the first row of a text has the columns' names; auto: if none of its values is a number.
        separator: The character between the values of a text; None where the text decides.
        split_by: The column whose equal values stay together, in the training or the validation rows.
        split_time: The column by which the last rows validate.
    """

    label: str | None = None
    task: Task | None = None
    missing: Missing = "refuse"
    categorical: Categorical = "one-hot"
    most_categories: int = MOST_CATEGORIES
    drop: tuple[str, ...] = ()
    header: Header = "auto"
    separator: str | None = None
    split_by: str | None = None
    split_time: str | None = None

    # Keyed by field, the flags for errors.
    FLAGS: ClassVar = {
        "label": "--label",
        "missing": "--missing",
        "categorical": "--categorical",
        "most_categories": "--max-categories",
        "drop": "--drop",
        "header": "--header",
        "separator": "--separator",
        "split_by": "--split-by",
        "split_time": "--split-time",
    }

    @property
    def given(self) -> list[str]:
        """Return the flags whose values differ from their defaults."""
        return [self.FLAGS[one.name] for one in fields(self) if one.name in self.FLAGS and self._differs(one.name)]

    @property
    def split(self) -> str | None:
        """Return the column that decides which rows validate."""
        return self.split_by or self.split_time

    def check(self) -> Self:
        """Refuse options that contradict each other.

        Raises:
            InputError: They do.
        """
        if self.split_by and self.split_time:
            raise InputError("--split-by and --split-time: choose one of them")
        for flag, column in (("--label", self.label), ("--split-by", self.split_by), ("--split-time", self.split_time)):
            if column is not None and column in self.drop:
                raise InputError(f"{flag} `{column}`: --drop leaves this column out; name it in one of them")
        if self.label is not None and self.label == self.split:
            raise InputError(f"--label `{self.label}`: the same column cannot decide which rows validate")
        return self

    def for_task(self, task: Task | None) -> Self:
        """Return the options for a task that the job decides."""
        return replace(self, task=task)

    def _differs(self, name: str) -> bool:
        return bool(getattr(self, name) != getattr(DEFAULT_OPTIONS, name))


DEFAULT_OPTIONS = TableOptions()


@dataclass(frozen=True)
class TableSpec:
    """Files with a table each, all of the same columns.

    Attributes:
        named: As in `--data`.
        paths: The files, in the order of their rows.
        form: Their format.
        options: What their columns are for.
    """

    named: str
    paths: tuple[Path, ...]
    form: TableForm
    options: TableOptions = DEFAULT_OPTIONS
    kind: ClassVar[str] = "table"
    data_type: ClassVar[None] = None

    @property
    def name(self) -> str:
        """As in `--data`."""
        return self.named

    @property
    def slug(self) -> str:
        """Return a word for the name of the bucket with its partitions."""
        return self.paths[0].name.split(".")[0]

    def identity(self, valid_ratio: float) -> list[Any]:
        """Return what the partitions depend on; a file counts as unchanged as `harness.datasets.specs` says.

        Args:
            valid_ratio: The share of rows that validate, which decides the order of rows of a split.
        """
        files = []
        for path in self.paths:
            status = path.stat()
            files.append([str(path.resolve()), status.st_size, status.st_mtime_ns])
        return [files, self.form, asdict(self.options), valid_ratio if self.options.split else None]


class TableObject(NamedTuple):
    """An object with a table.

    Attributes:
        key: Its key.
        etag: S3's digest of its content.
    """

    key: str
    etag: str


@dataclass(frozen=True)
class S3TableSpec:
    """Objects in a bucket with a table each, all of the same columns.

    Attributes:
        named: As in `--data`.
        bucket: Their bucket.
        objects: The objects, in the order of their rows.
        options: What their columns are for.
    """

    named: str
    bucket: str
    objects: tuple[TableObject, ...]
    options: TableOptions = DEFAULT_OPTIONS
    kind: ClassVar[str] = "table"
    data_type: ClassVar[None] = None

    @property
    def name(self) -> str:
        """As in `--data`."""
        return self.named

    @property
    def slug(self) -> str:
        """Return a word for the name of the bucket with its partitions."""
        return self.bucket

    def identity(self, valid_ratio: float) -> list[Any]:
        """Return what the partitions depend on; the argument is that of `TableSpec.identity`."""
        return [self.named, self.objects, asdict(self.options), valid_ratio if self.options.split else None]
