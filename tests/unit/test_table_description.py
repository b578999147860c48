"""The description of a table: what is in it, and what a run would make of it."""

import json

import polars as pl
import pytest
from click.testing import CliRunner

from harness.cli.data import describe
from harness.cli.main import cli
from harness.datasets.specs import parse_data_spec
from harness.datasets.tables.description import describe_table
from harness.datasets.tables.spec import TableOptions

ROWS = "age,town,day,pet\n,Bern,2026-01-01,cat\n4,Rome,2026-01-02,dog\n6,Rome,2026-01-03,cat\n9,Rome,2026-01-04,cat\n"


@pytest.fixture
def people(tmp_path):
    """A table with a missing value and dates."""
    path = tmp_path / "people.csv"
    path.write_text(ROWS)
    return str(path)


def test_columns_ranges_and_classes_are_described(people):
    """Types, ranges, missing values, shares of classes, and the features that a run would make."""
    found = describe_table(parse_data_spec(people, TableOptions(drop=("day",), missing="mean")))

    age, town, pet = found.columns
    assert ("whole numbers", 1, 4, 9, "numeric") == (age.type, age.missing, age.least, age.largest, age.encoding)
    assert ("text", 2, "one_hot", 2) == (town.type, town.distinct, town.encoding, town.features)
    assert ("label", [("cat", 3), ("dog", 1)]) == (pet.role, [(one.value, one.rows) for one in found.classes])
    assert (4, 3, "classification", None) == (found.rows, found.features, found.task, found.refused)


def test_a_table_that_a_run_refuses_is_described_too(people):
    """With the reason, which names the column."""
    found = describe_table(parse_data_spec(people))

    assert ["numbers", "text", "dates", "text"] == [column.type.replace("whole ", "") for column in found.columns]
    assert "column `day`: dates or times, such as `2026-01-01` at" in found.refused
    assert found.task is None


def test_one_class_has_one_share_however_it_is_written(tmp_path):
    """Numbers and truth values that are written in several ways are counted together."""
    for labels, classes in (("0 1.0 1 00 1e0", [(1, 3), (0, 2)]), ("True false true TRUE", [(True, 3), (False, 1)])):
        (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{at},{one}\n" for at, one in enumerate(labels.split())))
        found = describe_table(parse_data_spec(str(tmp_path / "t.csv")))
        assert classes == [(one.value, one.rows) for one in found.classes]


def test_the_command_prints_a_table_or_json(people):
    """The same facts for people and for scripts."""
    shown = CliRunner().invoke(describe, [people, "--drop", "day"]).stdout
    assert "classes   cat (75.0%), dog (25.0%)" in shown
    assert "a run     classification with 3 features" in shown
    printed = json.loads(CliRunner().invoke(describe, [people, "--drop", "day", "--json"]).stdout)
    assert ["age", "town", "pet"] == [column["name"] for column in printed["columns"]]


def test_truth_values_read_alike_in_every_form(tmp_path):
    """A Parquet column of them, and the words of a CSV file."""
    rows = pl.DataFrame({"open": [True, False, False, False], "y": ["a", "b", "a", "b"]})
    rows.write_parquet(tmp_path / "rows.parquet")
    rows.write_csv(tmp_path / "rows.csv")

    for name in ("rows.parquet", "rows.csv"):
        assert "false (75.0%), true (25.0%)" in CliRunner().invoke(describe, [str(tmp_path / name)]).stdout


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--test", "nothing.csv"], "--test `nothing.csv`: no such file"),
        (["--model", "nonsense"], "there is no model nonsense"),
        (["--n-workers", "0"], "allowed: an integer from 1 to 1000"),
    ],
)
def test_a_described_run_has_valid_flags(tmp_path, flags, message):
    """What a run would refuse before it looks at the rows is refused with --describe, too."""
    (tmp_path / "rows.csv").write_text("size,kind\n1,cat\n2,dog\n")

    refused = CliRunner().invoke(cli, ["run", "--data", str(tmp_path / "rows.csv"), "--describe", *flags])

    assert refused.exit_code == 1
    assert message in str(refused.exception)
