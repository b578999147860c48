"""Tables: from the columns of CSV, Parquet and NumPy files to features and labels, or to an error with its place."""

import bz2
import csv
import gzip
import io
import lzma

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.datasets.partitions import read_manifest
from harness.datasets.specs import BucketSpec, FileSpec, bucket_for, parse_data_spec
from harness.datasets.tables import records
from harness.datasets.tables.encoder import MOST_UNSEEN, Encoder
from harness.datasets.tables.objects import find_objects
from harness.datasets.tables.partition_table import partition_table, profile_table
from harness.datasets.tables.spec import DEFAULT_OPTIONS, TableOptions, TableSpec
from training.data.dataset import decode_npz
from training.data.schema import Schema, decode_schema
from training.errors import InputError

FLOWERS = b"""petal,wide,town,species
1.5,true,Bern,iris
2.5,false,Rome,rose
0.5,true,Rome,iris
"""


@pytest.fixture
def table(tmp_path):
    """Writes a file, and returns what `--data` makes of it."""

    def make(content: bytes, name: str = "table.csv", **options) -> TableSpec:
        (tmp_path / name).write_bytes(content)
        spec = parse_data_spec(str(tmp_path / name), TableOptions(**options))
        assert isinstance(spec, TableSpec)
        return spec

    return make


def encoded(spec: TableSpec, schema: Schema | None = None, **options):
    """All rows of a table by a schema or by its own, their labels, the schema and what the user is told."""
    found = profile_table(spec, schema=schema)
    encoder = Encoder(found.plan.schema, typed=spec.form == "parquet", label=found.label, **options)
    rows = [encoder.encode(block)[0] for block in found.table.blocks()]
    x, y = np.concatenate([part.x for part in rows]), np.concatenate([part.y for part in rows])
    return x.tolist(), y.tolist(), found.plan.schema, [*found.plan.notes, *encoder.notes()]


def refusal(spec_of) -> str:
    """The error that a table ends in."""
    with pytest.raises(InputError) as refused:
        profile_table(spec_of())
    assert len(str(refused.value).splitlines()) <= 3
    return str(refused.value)


def test_columns_become_features_and_labels(table):
    """Numbers stay, false and true are 0 and 1, text gives a feature per category, and labels are numbered."""
    x, y, schema, _ = encoded(table(FLOWERS))

    assert x == [[1.5, 1, 1, 0], [2.5, 0, 0, 1], [0.5, 1, 0, 1]]
    assert y == [0, 1, 0]
    assert ("classification", "species", ["iris", "rose"]) == (schema.task, schema.label, schema.classes)
    assert ["petal", "wide", "town=Bern", "town=Rome"] == schema.features


ZSTD = io.BytesIO()
pl.DataFrame({"line": FLOWERS.decode().splitlines()}).lazy().sink_csv(
    ZSTD, include_header=False, quote_style="never", compression="zstd"
)
SAME = {
    "Windows' line ends": FLOWERS.replace(b"\n", b"\r\n"),
    "old Macs' line ends": FLOWERS.replace(b"\n", b"\r"),
    "a byte order mark": b"\xef\xbb\xbf" + FLOWERS,
    "UTF-16": FLOWERS.decode().encode("utf-16"),
    "tabs": FLOWERS.replace(b",", b"\t"),
    "semicolons": FLOWERS.replace(b",", b";"),
    "quotes": b"\n".join(b",".join(b'"%b"' % cell for cell in line.split(b",")) for line in FLOWERS.splitlines()),
    "no last newline": FLOWERS.rstrip(),
    "blank lines": FLOWERS.replace(b"\n", b"\n\n"),
    "blanks around values": FLOWERS.replace(b",", b", ").replace(b", species", b",species"),
    "gzip": gzip.compress(FLOWERS),
    "xz": lzma.compress(FLOWERS),
    "bzip2": bz2.compress(FLOWERS),
    "Zstandard": ZSTD.getvalue(),
}


@pytest.mark.parametrize("content", SAME.values(), ids=SAME)
def test_a_table_is_read_however_it_is_written(table, content):
    """Encodings, line ends, separators, quotes and compressions do not matter, and the name of the file does not."""
    assert encoded(table(content, "flowers.data"))[:2] == encoded(table(FLOWERS))[:2]


PARQUET, NPY, STRUCTURED, NPZ = io.BytesIO(), io.BytesIO(), io.BytesIO(), io.BytesIO()
pl.read_csv(FLOWERS).with_columns(pl.col("town").cast(pl.Categorical)).write_parquet(PARQUET)
np.save(NPY, np.array([[1.5, 1, 0], [2.5, 0, 1], [0.5, 1, 0]]))
np.save(STRUCTURED, np.array([(1.5, True, 7), (2.5, False, 9), (0.5, True, 7)], "f8,?,i8"))
np.savez_compressed(NPZ, X=np.array([[1.5, 1], [2.5, 0], [0.5, 1]], np.float32), target=np.array([7, 9, 7]))


@pytest.mark.parametrize(
    ("content", "options", "width", "classes"),
    [
        (PARQUET, {}, 4, ["iris", "rose"]),
        (NPY, {"label": "2"}, 2, [0, 1]),
        (STRUCTURED, {"label": "f2"}, 2, [7, 9]),
        (NPZ, {}, 2, [7, 9]),
    ],
    ids=["Parquet", "npy", "structured npy", "npz"],
)
def test_binary_tables_give_the_same_rows(table, content, options, width, classes):
    """Parquet and NumPy files are read like text; the labels are those of the file."""
    x, y, schema, _ = encoded(table(content.getvalue(), "table", **options))

    assert x == [row[:width] for row in [[1.5, 1, 1, 0], [2.5, 0, 0, 1], [0.5, 1, 0, 1]]]
    assert (y, schema.classes) == ([0, 1, 0], classes)


@pytest.mark.parametrize(
    ("label", "task", "classes"),
    [
        ([3, 1, 3], "classification", [1, 3]),
        ([2**60 + 1, 2**60, 2**60], "classification", [2**60, 2**60 + 1]),
        ([2**63 + 1, 2**63, 2**63], "classification", [2**63, 2**63 + 1]),
        (["1.0", "2.0", "1"], "classification", [1, 2]),
        (["True", "FALSE", "true"], "classification", [False, True]),
        ([-1, 1, 1], "classification", [-1, 1]),
        ([0.5, 1, 2], "regression", None),
        (list(range(0, 3000, 100)), "regression", None),
        (list(range(1, 31)), "classification", list(range(1, 31))),
    ],
)
def test_labels_say_what_the_task_is(table, label, task, classes):
    """Text, false and true, and few or numbered whole numbers are classes; other numbers are targets."""
    rows = "".join(f"{number}.5,{value}\n" for number, value in enumerate(label))
    _, y, schema, _ = encoded(table(f"x,y\n{rows}".encode()))

    assert (task, classes) == (schema.task, schema.classes)
    known = [str(one).lower() for one in classes or []]
    wanted = [float(value) for value in label] if classes is None else None
    assert y == (wanted or [known.index(str(value).lower().removesuffix(".0")) for value in label])


def test_a_task_that_the_model_decides_is_kept(table):
    """Whole numbers are targets of a regression; a clustering takes all columns but the usual label."""
    content = b"x,y\n1,0\n2,1\n"
    assert encoded(table(content, task="regression"))[2].classes is None
    _, y, schema, _ = encoded(table(content, task="clustering"))
    assert ("clustering", None, ["x"], [0, 0]) == (schema.task, schema.label, schema.features, y)
    text = refusal(lambda: table(b"x,y\n1,cat\n2,dog\n", task="regression"))
    assert "holds text, such as `cat` at" in text


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"", {}, "no such file|is empty"),
        (b"a,b,label\n", {}, "holds a header and no rows"),
        (b"a,a,label\n1,2,3\n", {}, "the column `a` occurs twice"),
        (b"a,b,y\n1,2,0\n3,1\n", {}, r"table.csv line 3: has 2 values; the first row has 3"),
        (b'a,y\n"1\n2",0\n3,1,5\n', {}, r"table.csv line 4: has 3 values; the first row has 2"),
        (b'a,b,y\n1,5" pipe,0\n', {}, r'line 2: a quote \("\) within a value that does not begin with one'),
        (b'a,b,y\n1,"x,0\n2,x,1\n', {}, "line 2: the quote that opens a value is never closed"),
        (b'a,b,y\n1,"x,0\n2,"x",1\n', {}, "line 3: text follows the quote that closes a value; .* begins in line 2"),
        (b"a,y\n1,0\n\xff,1\n", {}, "table.csv line 3: is not UTF-8 text\nconvert the file"),
        (b"a,y\n1,0\n2,1\n", {"label": "z"}, "there is no column `z` .--label.\nthe columns are `a`, `y`"),
        (b"a,y\n1,0\n2,1\n", {"drop": ("z",)}, "there is no column `z` .--drop.\nthe columns are `a`, `y`"),
        (b"a,b,y\n1,,0\n2,,1\n", {}, "column `b`: all values are missing\nleave it out: --drop b"),
        (b"a,b,y\n1,2,0\nNA,,1\n?,1,0\n", {}, "missing values: `a` 2, `b` 1; the first at .*csv line 3\n--missing"),
        (b"a,y\n1,0\n2,\n3,1\n", {}, "label column `y`: 1 values are missing, the first at .*line 3\n--missing drop"),
        (b"a,y\n1,0\ninf,1\n", {}, "column `a`: a number is infinite or beyond single precision\nat .*line 3"),
        (b"a,y\n1,0\n1e39,1\n", {}, "column `a`: a number is infinite or beyond single precision\nat .*line 3"),
        (b"t,y\n2026-12-31,0\n2026-1-2,1", {}, "column `t`: dates or times, such as `2026-12-31` at .*2\n.*--drop t"),
        (b"t,y\n31.12.2026 23:59,0\n1.1.27,1", {}, "column `t`: dates or times"),
        (b"a,y\n1,cat\n2,cat\n", {}, "label column `y`: all rows have the label cat; a classification needs two"),
        (b"a,y\n1,1\n2,x\n", {}, "label column `y`: holds 1 numbers, but also text, such as `x` at .*line 3"),
        (b"y\n0\n1\n", {}, "has no column beside `y`"),
        (b"a,y\n1,0\n2,1\n", {"split_by": "g"}, "there is no column `g`"),
        (b"a,g,y\n1,1,0\n2,1,1\n", {"split_by": "g"}, "column `g`: has the same value in all rows"),
        (b"a,g,y\n1,1,0\n2,2,1\n", {"split_by": "g", "ratio": 0}, "--split-by `g`: with a valid ratio of 0"),
        (b"a;y\n1,5;0\n2,5;1\n", {}, "column `a`: numbers with a decimal comma, such as `1,5` at .*line 2"),
        (b"a,t,y\n1,1.2.2026,0\n2,x,1\n", {"split_time": "t"}, "line 2: column `t`: `1.2.2026` has no order"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_one_clear_error(table, content, options, message):
    """The error names file and line, or the column, and what to do."""
    ratio = options.pop("ratio", 0.1)
    with pytest.raises(InputError, match=message):
        profile_table(table(content, **options), valid_ratio=ratio)


def test_a_name_or_an_id_is_refused(table):
    """A column of texts that are all different teaches nothing; one with many categories needs a flag."""
    unique = b"name,a,y\n" + b"".join(b"n%d,%d,%d\n" % (row, row * row, row % 2) for row in range(50))
    assert "column `name`: each row has a text of its own, such as `n0` at" in refusal(lambda: table(unique))
    assert encoded(table(unique, drop=("name",)))[2].features == ["a"]
    many = unique.replace(b"n49", b"n48")
    assert "column `name`: more than 20 different texts" in refusal(lambda: table(many, most_categories=20))
    assert encoded(table(many))[2].n_features == 50


def test_a_number_that_turns_into_text_is_never_silent(table, monkeypatch):
    """Whatever the first block looks like, text in the last is found: an error with its line, or a note."""
    monkeypatch.setattr(records, "RECORDS_BYTES", 64)
    numbers = b"a,y\n" + b"".join(b"%d,%d\n" % (row, row % 2) for row in range(500))
    assert "holds 500 numbers, but also text, such as `x7` at" in refusal(lambda: table(numbers + b"x7,1\n"))
    short = b"".join(numbers.splitlines(keepends=True)[:21]) + b"0x10,1\n"
    assert "holds 20 numbers, but also text, such as `0x10` at" in refusal(lambda: table(short))
    few = b"a,y\n" + b"".join(b"%d,%d\n" % (row % 3, row % 2) for row in range(500)) + b"x7,1\n"
    x, _, schema, notes = encoded(table(few))
    assert (["0", "1", "2", "x7"], [0, 0, 0, 1]) == (schema.columns[0].categories, x[-1])
    assert any("numbers and text, such as `x7` at" in note for note in notes)


@pytest.mark.parametrize(
    ("missing", "x", "y"),
    [
        ("mean", [[1, 1, 1, 0, 0], [3, 0, 0, 1, 1], [2, 0.5, 0, 0, 0]], [0, 1, 1]),
        ("zero", [[1, 1, 1, 0, 0], [3, 0, 0, 1, 1], [0, 0, 0, 0, 0]], [0, 1, 1]),
        ("drop", [[1, 1, 1, 0, 0], [3, 0, 0, 1, 1]], [0, 1]),
    ],
)
def test_missing_values_become_what_the_user_says(table, missing, x, y):
    """The mean of the column, zero, or the row is left out, and its number is told."""
    content = b"n,b,c,d,y\n1,true,p,0,k\n3,false,q,1,l\nNA,,?,0,l\n"
    found = encoded(table(content, missing=missing))

    assert (x, y) == found[:2]
    assert ("1 rows with missing values are left out" in found[3]) == (missing == "drop")


def test_a_schema_encodes_other_rows(table):
    """Rows of a prediction: other order of columns, no label, and categories that the training never saw, told."""
    schema = encoded(table(FLOWERS))[2]
    other = table(b"town,new,wide,petal\nOslo,1,false,7\nRome,2,1,8\n", "other.csv")
    x, y, _, notes = encoded(other, schema)

    assert ([[7, 0, 0, 0], [8, 1, 0, 1]], [0, 0]) == (x, y)
    assert [
        "columns that the model never saw are ignored: `new`",
        "column `town`: categories that the model never saw, in 1 row: `Oslo`",
    ] == notes
    labelled = table(b"species,town,wide,petal\nrose,Rome,1,8\ntulip,Rome,1,8\n")
    assert [1, -1] == encoded(labelled, schema, unknown_labels="keep")[1]


def test_unknown_categories_are_counted_in_bounded_memory(table):
    """A column with another name in each row: the note counts all rows, and names as many as fit in a line."""
    schema = encoded(table(FLOWERS))[2]
    rows = "".join(f"1,false,town {number}\n" for number in range(2 * MOST_UNSEEN))
    found = profile_table(table(f"petal,wide,town\n{rows}".encode(), "many.csv"), schema=schema)
    encoder = Encoder(schema, typed=False, label=None)
    for block in found.table.blocks():
        encoder.encode(block)

    assert MOST_UNSEEN + 1 == len(encoder.unseen["town"])
    (note,) = encoder.notes()
    assert note.startswith("column `town`: categories that the model never saw, in 2,000 rows: `town 0`, `town 1`, ")
    assert note.endswith("`town 5` ...")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"petal,town\n1,Rome\n", "other.csv: the model was trained on 3 columns, and the data lacks `wide`"),
        (b"petal,wide,town\n1,1,\n", "line 2: column `town` has no value\nthe training data had none missing"),
        (b"petal,wide,town\nx,1,Rome\n", "line 2: column `petal`: `x` is no number"),
        (b"petal,wide,town\n1,2,Rome\n", "line 2: column `wide`: `2` is neither false nor true"),
        (b"petal,wide,town\n1e39,1,Rome\n", "line 2: column `petal`: 1e39 is infinite or beyond single precision"),
        (b"petal,wide,town,species\n1,1,Rome,elm\n", "line 2: label `elm` is none of the 2 classes"),
    ],
)
def test_rows_that_do_not_fit_a_schema_are_refused(table, content, message):
    """The error names file, line and column."""
    schema = encoded(table(FLOWERS))[2]
    spec = table(content, "other.csv", header="yes")
    with pytest.raises(InputError, match=message):
        encoded(spec, schema)


def test_a_test_set_has_labels_and_fits_the_schema(s3, table):
    """Partitions by a given schema: no column of labels is an error, and columns that were left out may be missing."""
    schema = encoded(table(FLOWERS, drop=("wide",)))[2]
    with pytest.raises(InputError, match="lacks the label column `species`"):
        partition_table(table(b"petal,town\n1,Rome\n"), n_workers=1, s3=s3, bucket="tested", schema=schema)
    spec = table(b"town,petal,species\nRome,1,rose\n", drop=("wide",))
    manifest = partition_table(spec, n_workers=1, s3=s3, bucket="tested", schema=schema)
    assert (schema, 3, [1]) == (manifest.schema, manifest.features, [one.label for one in manifest.labels])


def test_ordinal_categories_are_numbers(table):
    """One feature per column of text: the place of its category in the schema."""
    x, _, schema, _ = encoded(table(FLOWERS, categorical="ordinal"))

    assert [row[2] for row in x] == [0, 1, 1]
    assert ["Bern", "Rome"] == schema.columns[2].categories


def test_what_teaches_nothing_is_told(table):
    """A constant column and an index train, but the user is told."""
    rows = b"".join(b"%d,5,%d,%d\n" % (row, row * row % 7, row % 2) for row in range(20))
    notes = encoded(table(b",c,a,y\n" + rows))[3]

    assert any(note.startswith("column `c`: the same value in all rows") for note in notes)
    assert any(note.startswith("column `unnamed_0`: rises by 1 with every row: an index?") for note in notes)


@pytest.mark.parametrize(
    ("column", "type_"), [([[1], [2]], "lists"), ([{"a": 1}, {"a": 2}], "structures"), ([b"1", b"2"], "bytes")]
)
def test_a_parquet_column_of_lists_is_refused(table, column, type_):
    """By its name, unless it is left out."""
    content = io.BytesIO()
    pl.DataFrame({"a": [1.5, 2.5], "odd": column, "y": [0, 1]}).write_parquet(content)

    assert f"column `odd`: {type_}, not single values" in refusal(lambda: table(content.getvalue()))
    assert encoded(table(content.getvalue(), drop=("odd",)))[:2] == ([[1.5], [2.5]], [0, 1])


def test_damaged_headers_of_arrays_are_refused(table):
    """A header is text, which may hold anything; none makes the harness fail, or name 2**40 columns."""
    content = io.BytesIO()
    np.save(content, np.ones((4, 2)))
    for old, new, message in (
        (b"{'descr'", b"__import", "damaged"),
        (b"(4, 2)", b"(-4,2)", r"damaged: its header has the shape \(-4, 2\)"),
        (b"(4, 2), }        ", b"(4, 99999999999)}", "has 99,999,999,999 columns\na table has at most 10,000,000"),
    ):
        assert old in content.getvalue()
        with pytest.raises(InputError, match=message):
            profile_table(table(content.getvalue().replace(old, new), "arrays.npy"))


def test_arrays_of_long_doubles_are_numbers(table):
    """They are read in double precision."""
    content = io.BytesIO()
    np.savez(content, x=np.array([[1.5], [2.5]], np.longdouble), y=np.array([0, 1]))
    assert encoded(table(content.getvalue(), "arrays.npz"))[0] == [[1.5], [2.5]]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.eye(2)}, "holds the arrays a, and no features"),
        ({"x": np.eye(3), "y": np.zeros(2)}, "`x` has 3 rows, `y` has 2"),
        ({"x": np.zeros((2, 2, 2)), "y": np.zeros(2)}, r"array `x`: has shape \(2, 2, 2\); it must be"),
        ({"x": np.array([["a", 1]], object), "y": np.zeros(1)}, "nothing is unpickled"),
        ({"x": np.asfortranarray(np.ones((3, 2))), "y": np.zeros(3)}, "stored column by column"),
    ],
)
def test_arrays_that_are_no_table_are_refused(table, arrays, message):
    """The error names the array."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    with pytest.raises(InputError, match=message):
        profile_table(table(content.getvalue(), "arrays.npz"))


def test_several_files_are_one_table(tmp_path):
    """A glob, a folder and a list give the same rows; other columns in one of the files are refused by its name."""
    (tmp_path / "part-0.csv").write_bytes(b"a,b,y\n1,2,0\n")
    (tmp_path / "part-1.csv").write_bytes(b"y,b,a\n1,4,3\n")
    names = [f"{tmp_path}/part-*.csv", str(tmp_path), f"{tmp_path}/part-0.csv,{tmp_path}/part-1.csv"]

    for name in names:
        assert encoded(parse_data_spec(name))[:2] == ([[1, 2], [3, 4]], [0, 1])
    (tmp_path / "part-2.csv").write_bytes(b"a,c,y\n1,2,0\n")
    assert "part-2.csv: lacks `b` and has `c` in addition" in refusal(lambda: parse_data_spec(names[0]))
    (tmp_path / "part-3.parquet").write_bytes(PARQUET.getvalue())
    with pytest.raises(InputError, match=r"is csv and .* is parquet\nname files of one form"):
        parse_data_spec(names[1])


def test_libsvm_text_is_no_table(tmp_path):
    """Whatever its name and its separators; and it takes no options of tables."""
    path = tmp_path / "rows.csv"
    for content in (b"1 1:0.5 3:2\n-1 2:1\n", b"1\t1:0.5\n", b"# a,b\n1 qid:3 1:0.5 # a,b\n", b"3.5e0 7:1e-3\n"):
        path.write_bytes(content)
        assert FileSpec(path) == parse_data_spec(str(path))
    with pytest.raises(InputError, match="--label is for tables"):
        parse_data_spec(str(path), TableOptions(label="y"))


def test_the_bucket_follows_from_the_options(table):
    """Every option that changes the rows changes the bucket; the share of validation does so for a split alone."""
    options = [
        {},
        {"label": "petal"},
        {"missing": "mean"},
        {"categorical": "ordinal"},
        {"most_categories": 7},
        {"drop": ("wide",)},
        {"header": "no"},
        {"separator": ";"},
        {"split_by": "town"},
        {"split_time": "town"},
        {"task": "regression"},
    ]
    buckets = {bucket_for(table(FLOWERS, **one), 0, 2) for one in options}
    assert len(buckets) == len(options)
    for split, different in ((None, 1), ("town", 2)):
        spec = table(FLOWERS, split_by=split)
        assert len({bucket_for(spec, 0, 2, valid_ratio=ratio) for ratio in (0.1, 0.2)}) == different


def partitions(s3, bucket):
    """The rows of all partitions: training and validation of each."""
    manifest = read_manifest(s3, bucket)
    found = []
    for key, valid in zip(manifest.keys, manifest.valid_rows_per_partition or [0] * 99, strict=False):
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        rows = decode_npz(body, source=key)[1]
        found.append((rows.x[: rows.rows - valid], rows.x[rows.rows - valid :]))
    return manifest, found


def test_partitions_carry_the_schema(s3, table):
    """All rows are there, shuffled; the manifest and schema.json say how they were encoded."""
    rows = b"".join(b"%d,%s\n" % (row * row, b"cat" if row % 3 else b"dog") for row in range(50))
    manifest = partition_table(table(b"a,y\n" + rows), n_workers=3, s3=s3, bucket="cats")

    _, found = partitions(s3, "cats")
    assert sorted(np.concatenate([train for train, _ in found])[:, 0]) == [row * row for row in range(50)]
    body = s3.get_object(Bucket="cats", Key="schema.json")["Body"].read()
    assert decode_schema(body, "schema.json") == manifest.schema == read_manifest(s3, "cats").schema
    assert [(0, 33), (1, 17)] == [(one.label, one.rows) for one in manifest.labels]
    assert (manifest.schema.classes, manifest.data_type) == (["cat", "dog"], "dense_libsvm")


def test_a_group_trains_or_validates(s3, table):
    """No group has rows on both sides, on any rank; the share of validation is near what was asked for."""
    rows = b"".join(b"%d,g%d,%d\n" % (row % 40, row % 40, row % 2) for row in range(400))
    spec = table(b"a,who,y\n" + rows, split_by="who")
    partition_table(spec, n_workers=3, s3=s3, bucket="groups", valid_ratio=0.2)

    manifest, found = partitions(s3, "groups")
    train = set(np.concatenate([part for part, _ in found])[:, 0])
    valid = set(np.concatenate([part for _, part in found])[:, 0])
    assert not train & valid
    assert (80, 1) == (sum(manifest.valid_rows_per_partition), manifest.features)
    assert max(manifest.valid_rows_per_partition) - min(manifest.valid_rows_per_partition) <= 1


@pytest.mark.parametrize("times", ["{0}", "2026-01-{1:02}T12:{2:02}:00"])
def test_the_last_rows_in_time_validate(s3, table, times):
    """All rows that validate are later than all that train."""
    order = np.random.default_rng(1).permutation(200)
    rows = "".join(f"{at},{times.format(at, at // 10 + 1, at % 10)},{at % 2}\n" for at in order)
    spec = table(f"a,when,y\n{rows}".encode(), split_time="when")
    partition_table(spec, n_workers=3, s3=s3, bucket="times", valid_ratio=0.1)

    _, found = partitions(s3, "times")
    assert set(np.concatenate([part for _, part in found])[:, 0]) == set(range(180, 200))
    assert set(np.concatenate([part for part, _ in found])[:, 0]) == set(range(180))


def test_a_label_of_validation_alone_is_refused(s3, table):
    """A class that only the rows of validation have cannot be learned."""
    rows = b"".join(b"%d,%d,%s\n" % (row, row, b"new" if row > 95 else b"old%d" % (row % 2)) for row in range(100))
    spec = table(b"a,when,y\n" + rows, split_time="when")
    with pytest.raises(InputError, match="the label new appears in validation rows alone"):
        partition_table(spec, n_workers=2, s3=s3, bucket="new-label")


def test_objects_in_s3_are_a_table(s3):
    """A folder of Parquet or CSV objects is data; one with partitions is not."""
    s3.create_bucket(Bucket="lake")
    for part in range(2):
        s3.put_object(Bucket="lake", Key=f"t/part-{part}.csv", Body=b"a,y\n%d,0\n2,1\n" % part)
    s3.put_object(Bucket="lake", Key="t/_SUCCESS", Body=b"")
    found = find_objects(s3, "lake", "t/", DEFAULT_OPTIONS)

    assert ["t/part-0.csv", "t/part-1.csv"] == [one.key for one in found.objects]
    assert found.objects[:1] == find_objects(s3, "lake", "t/part-0.csv/", DEFAULT_OPTIONS).objects
    before = bucket_for(found, 0, 2)
    s3.put_object(Bucket="lake", Key="t/part-1.csv", Body=b"a,y\n7,0\n2,1\n")
    assert before != bucket_for(find_objects(s3, "lake", "t/", DEFAULT_OPTIONS), 0, 2)
    s3.put_object(Bucket="lake", Key="p/0_1", Body=b"rows")
    assert find_objects(s3, "lake", "p/", DEFAULT_OPTIONS) is None
    with pytest.raises(InputError, match="--label is for tables, and this folder holds none"):
        find_objects(s3, "lake", "p/", TableOptions(label="y"))
    assert BucketSpec("lake", "t/") == parse_data_spec("s3://lake/t")


NUMBER = st.one_of(
    st.integers(-(10**9), 10**9).map(str),
    st.floats(-1e30, 1e30).map(repr),
    st.sampled_from(["0", "-0.0", "1e-30", ".5", "7.", "+3", "1E5"]),
)
TEXT = st.text(st.sampled_from('ab ",;\n\r\t|é0'), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(NUMBER, TEXT, NUMBER, st.sampled_from(["k", "l"])), min_size=4, max_size=40),
    separator=st.sampled_from(",;\t|"),
    size=st.sampled_from([16, 4 << 20]),
)
def test_any_table_is_read_as_a_naive_reader_reads_it(tmp_path_factory, rows, separator, size):
    """Python's own csv module and float() give the same rows, whatever is quoted and wherever blocks end."""
    rows = [*rows, ("1", "a", "2", "k"), ("2", "b", "2", "l")]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows([("n", "t", "m", "label"), *rows])
    path = tmp_path_factory.mktemp("naive") / "table.csv"
    path.write_bytes(text.getvalue().encode())
    texts = [row[1].strip() for row in rows]
    if any(value == "" for value in texts) or not any(not is_plain_number(value) for value in texts):
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "RECORDS_BYTES", size)
        spec = parse_data_spec(str(path), TableOptions(separator=separator, header="yes", most_categories=100))
        if len(set(texts)) == len(texts) > 10:
            assert "each row has a text of its own" in refusal(lambda: spec)
            return
        x, y, schema, _ = encoded(spec)
    categories = sorted(set(texts))
    assert categories == schema.columns[1].categories
    wanted = [
        [np.float32(float(n)), *(float(text == one) for one in categories), np.float32(float(m))]
        for (n, _, m, _), text in zip(rows, texts, strict=True)
    ]
    assert x == [[float(value) for value in row] for row in wanted]
    assert y == [float(row[3] == "l") for row in rows]


def is_plain_number(text):
    """Whether Python reads the text as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
