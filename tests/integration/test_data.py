"""`harness data` and the partitioning script against a real S3 service, as a user calls them."""

import json
import lzma
import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import ExitStack
from pathlib import Path

import boto3
import numpy as np
import polars as pl
import pytest

from harness.datasets.libsvm import format_rows
from harness.datasets.loading import load_arrays
from harness.datasets.partitions import list_objects, read_manifest
from harness.datasets.specs import FORMS, SyntheticSparseSpec
from harness.runs.predict_data import predict_data
from tests.support.trained import trained_model
from training.data.dataset import Dataset, decode_partition
from training.data.schema import Column, Schema
from training.errors import InputError

HARNESS = Path(sys.executable).with_name("harness")
PARTITION = (HARNESS, "data", "partition")
SCRIPT = Path(__file__).parents[2] / "fixtures" / "partition_data.py"


@pytest.fixture
def endpoint(s3_endpoint):
    """The URL of S3."""
    return s3_endpoint


@pytest.fixture
def s3(endpoint, s3_key):
    """A client of that S3."""
    return boto3.Session(s3_key, "test", region_name="us-east-1").client("s3", endpoint_url=endpoint)


@pytest.fixture
def bucket():
    """A bucket name of the test's own."""
    return f"data-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def call(tmp_path, endpoint, s3_key):
    """Runs a command in an empty folder, with that S3 as AWS."""

    def run(*command, **environment):
        return subprocess.run(
            [*map(str, command)],
            cwd=tmp_path,
            env=environment_of(endpoint, s3_key) | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def start(endpoint, s3_key):
    """Starts a command that ends with the test."""
    with ExitStack() as cleanup:

        def begin(*command):
            process = cleanup.enter_context(
                subprocess.Popen(
                    # Whoever started the tests in the background of a script has had SIGINT ignored.
                    ["env", "--default-signal=INT", *map(str, command)],
                    env=environment_of(endpoint, s3_key),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            cleanup.callback(process.kill)
            return process

        yield begin


def environment_of(endpoint, s3_key):
    """The variables with which a command talks to an endpoint."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    credentials = {"AWS_ACCESS_KEY_ID": s3_key, "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    return own | credentials | {"AWS_ENDPOINT_URL_S3": endpoint}


def wait_until(predicate, timeout_s=60):
    """Polls until something is true."""
    deadline, pause_s = time.monotonic() + timeout_s, 0.001
    while not predicate():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 0.01)


def decoded(s3, bucket, n_workers, n_features, data_type="dense_libsvm"):
    """What each worker gets."""
    keys = [f"{rank}_{n_workers}" for rank in range(n_workers)]
    bodies = [s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys]
    return [
        decode_partition(body, source=key, n_features=n_features, data_type=data_type)
        for key, body in zip(keys, bodies, strict=True)
    ]


def test_make_partition_inspect(call, s3, bucket):
    """A set is made, partitioned and inspected by three commands, and every command says what it did in JSON."""
    made = call(HARNESS, "data", "make", "--rows", 1001, "--features", 5, "-o", "likeness.xz", "--json")
    partitioned = call(
        HARNESS, "data", "partition", "--file-path", "likeness.xz", "--n-workers", 2, "--bucket-name", bucket, "--json"
    )
    inspected = call(HARNESS, "data", "inspect", f"s3://{bucket}", "--json")
    shown = call(HARNESS, "data", "inspect", f"s3://{bucket}")

    assert ["", "", "", ""] == [step.stderr for step in (made, partitioned, inspected, shown)]
    assert json.loads(made.stdout)["synthetic"] is True
    manifest = json.loads(partitioned.stdout)
    assert (1001, 5, [501, 500], True) == tuple(
        manifest[key] for key in ("rows", "features", "rows_per_partition", "synthetic")
    )
    found = json.loads(inspected.stdout)
    assert manifest == found["manifest"]
    assert {"0_2", "1_2", "manifest.json"} == set(found["objects"])
    assert [] == found["missing"]
    assert "likeness.xz (synthetic), shuffled with seed 0" in shown.stdout
    assert [501, 500] == [part.rows for part in decoded(s3, bucket, 2, 5)]


@pytest.mark.parametrize(
    ("data_type", "options", "features", "shown"),
    [
        ("sparse_libsvm", ("--kind", "sparse", "--features", 500, "--density", 0.02), 500, "libsvm, gzip"),
        ("cifar10", ("--kind", "images", "--classes", 3), 3072, "cifar10, gzip"),
    ],
)
def test_make_partition_inspect_other_types(call, s3, bucket, data_type, options, features, shown):
    """Sparse rows and images go the same way, and every step tells their type."""
    name, partition = "rows.gz", (*PARTITION, "--n-workers", 2, "--bucket-name", bucket, "--json")

    made = call(HARNESS, "data", "make", *options, "--rows", 101, "-o", name, "--json")
    seen = call(HARNESS, "data", "inspect", name, "--json")
    partitioned = call(*partition, "--file-path", name, "--dataset-type", data_type)
    listed = call(HARNESS, "data", "inspect", f"s3://{bucket}")

    assert ["", "", "", ""] == [step.stderr for step in (made, seen, partitioned, listed)]
    found, manifest = json.loads(seen.stdout), json.loads(partitioned.stdout)
    assert data_type == json.loads(made.stdout)["data_type"] == found["data_type"] == manifest["data_type"]
    assert (101, features, True) == tuple(manifest[key] for key in ("rows", "features", "synthetic"))
    assert (shown, 101, features) == tuple(found[key] for key in ("format", "rows", "features"))
    assert found["non_zeros"] == manifest["non_zeros"]
    assert f"2 of {data_type} as npz, 0_2 to 1_2" in listed.stdout
    assert [51, 50] == [part.rows for part in decoded(s3, bucket, 2, features, data_type)]


def test_the_original_script_with_dummy_data(call, s3, bucket, tmp_path):
    """The script takes the original's options; with dummy data each partition has ten of the first rows."""
    x = np.arange(500, dtype=np.float32)[:, np.newaxis]
    text = format_rows(Dataset(x, (x[:, 0] % 2)))
    (tmp_path / "HIGGS.xz").write_bytes(lzma.compress(text))

    done = call(
        sys.executable, SCRIPT, "--file-path", "HIGGS.xz", "--n-workers", 3, "--bucket-name", bucket, "--use-dummy-data"
    )

    parts = decoded(s3, bucket, 3, 1)
    assert (0, "") == (done.returncode, done.stderr)
    assert [10, 10, 10] == [part.rows for part in parts]
    assert list(range(30)) == sorted(int(value) for part in parts for value in part.x[:, 0])


def test_predictions_of_tables_in_s3(s3, bucket, tmp_path):
    """All objects of a folder are one table; a folder without tables is refused by name."""
    s3.create_bucket(Bucket=bucket)
    for number, rows in enumerate(("1,2\n", "-3,1\n")):
        s3.put_object(Bucket=bucket, Key=f"new/part-{number}.csv", Body=f"a,b\n{rows}".encode())
    columns = [Column(name=name, kind="numeric") for name in "ab"]
    schema = Schema(task="classification", label="kind", classes=["cat", "dog"], columns=columns)
    trained = trained_model(n_features=2, parameters=np.array([1, 0, 0], np.float32), schema=schema)

    predict_data(trained, f"s3://{bucket}/new", tmp_path / "answers.csv", s3=lambda: s3)

    assert ["row,class", "1,dog", "2,cat"] == (tmp_path / "answers.csv").read_text().split()
    with pytest.raises(InputError, match=f"s3://{bucket}/old`: holds no tables"):
        predict_data(trained, f"s3://{bucket}/old", tmp_path / "answers.csv", s3=lambda: s3)


def test_partitions_without_a_manifest_are_read_one_by_one(call, s3, bucket):
    """Inspecting partitions of someone else's tells what each of them holds."""
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="0_2", Body=b"1 1:2 3:4\n-1 2:1\n")
    s3.put_object(Bucket=bucket, Key="notes.txt", Body=b"hello")

    shown = call(HARNESS, "data", "inspect", f"s3://{bucket}")

    assert "no manifest" in shown.stdout
    assert f"s3://{bucket}/0_2: libsvm, 17 bytes, 2 rows of 3 features, labels -1 (50.0%), 1 (50.0%)" in shown.stdout


@pytest.mark.parametrize(
    ("script", "content", "message"),
    [
        (
            PARTITION,
            lzma.compress(b"1 1:0.5\n" * 10_000)[:-40],
            "HIGGS.xz: the xz data is cut off before its end",
        ),
        (
            (sys.executable, SCRIPT),
            b"1 1:0.5\n0 1:0.5\n1 1:O.5\n",
            "HIGGS.xz line 3: value of feature 1 `O.5` is not a number",
        ),
        (PARTITION, None, f"--file-path `HIGGS.xz`: no such file; the forms are {FORMS}"),
    ],
)
def test_bad_data_is_one_clear_error(call, s3, bucket, tmp_path, script, content, message):
    """A file that is missing, corrupt or does not parse: one line, exit code 1, no bucket."""
    if content is not None:
        (tmp_path / "HIGGS.xz").write_bytes(content)

    done = call(*script, "--file-path", "HIGGS.xz", "--n-workers", 2, "--bucket-name", bucket)

    assert (1, "") == (done.returncode, done.stdout)
    assert f"error: {message}" == done.stderr.strip()
    assert bucket not in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]


def test_an_s3_that_is_down_is_one_clear_error(call, tmp_path):
    """An endpoint where nothing listens is named within seconds."""
    (tmp_path / "rows").write_bytes(b"1 1:0.5\n" * 4)
    started = time.monotonic()

    done = call(
        HARNESS, "data", "partition", "--file-path", "rows", "--n-workers", 2, "--bucket-name", "higgs-2",
        "--endpoint-url", "http://127.0.0.1:9",
    )  # fmt: skip

    assert 1 == done.returncode
    assert 'error: bucket `higgs-2`: Could not connect to the endpoint URL: "http://127.0.0.1:9/' in done.stderr
    assert len(done.stderr.splitlines()) <= 3
    assert time.monotonic() - started < 60  # boto3's own retries take minutes


def test_the_stack_that_is_up_is_found(call, s3, bucket, endpoint, s3_key, tmp_path):
    """Without any variable or option, data goes to the stack that runs in the folder or one above."""
    (tmp_path / "rows").write_bytes(b"1 1:0.5\n" * 4)
    (tmp_path / ".harness").mkdir()
    (tmp_path / ".harness" / "state.json").write_text(
        json.dumps({"endpoints": {"s3": endpoint, "access_key": s3_key}, "functions_see": {"discovery": "127.0.0.1:9"}})
    )

    done = call(
        HARNESS, "data", "partition", "--file-path", "rows", "--n-workers", 2, "--bucket-name", bucket,
        AWS_ENDPOINT_URL_S3="",
    )  # fmt: skip

    assert (0, "") == (done.returncode, done.stderr)
    assert 4 == read_manifest(s3, bucket).rows


@pytest.mark.slow  # that of sparse rows is among the daily tests
def test_memory_is_bounded_whatever_the_size(s3, s3_key, bucket, endpoint, tmp_path):
    """Partitioning 60 MB of text takes less than 300 MB, and 120 MB of text hardly more than that."""
    rows = np.random.default_rng(0).normal(size=(60_000, 28)).astype(np.float32)
    text = format_rows(Dataset(rows, np.ones(len(rows), np.float32)))
    peaks_mb = []
    for size_mb in (60, 120):
        path = tmp_path / "rows"
        with path.open("wb") as file:
            for _ in range(size_mb * 1_000_000 // len(text) + 1):
                file.write(text)
        assert path.stat().st_size >= size_mb * 1_000_000
        environment = environment_of(endpoint, s3_key)
        peaks_mb.append(peak_memory_of_partitioning(path, f"{bucket}-{size_mb}", environment))

    assert max(peaks_mb) < 300
    assert peaks_mb[1] < peaks_mb[0] + 60
    assert path.read_bytes().count(b"\n") == read_manifest(s3, f"{bucket}-120").rows


def test_memory_is_bounded_for_sparse_rows_too(s3, s3_key, bucket, endpoint, tmp_path):
    """Partitioning 60 MB of sparse text, 9 GB as dense rows, takes less than 300 MB."""
    rows = load_arrays(SyntheticSparseSpec(2000), seed=0)
    text = format_rows(rows)
    path = tmp_path / "rows"
    with path.open("wb") as file:
        for _ in range(60_000_000 // len(text) + 1):
            file.write(text)

    peak_mb = peak_memory_of_partitioning(
        path, bucket, environment_of(endpoint, s3_key), "--dataset-type", "sparse_libsvm"
    )

    manifest = read_manifest(s3, bucket)
    assert 60_000_000 <= path.stat().st_size
    assert path.read_bytes().count(b"\n") == manifest.rows
    assert rows.x.nnz * manifest.rows // 2000 == manifest.non_zeros
    assert 4 * manifest.rows * manifest.features > 9_000_000_000
    assert peak_mb < 300


@pytest.mark.slow  # two files of each kind
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_memory_is_bounded_for_tables_too(s3, s3_key, bucket, endpoint, tmp_path, form):
    """Partitioning a table takes less than 350 MB, and one of twice the size hardly more than that."""
    rows = pl.DataFrame(np.random.default_rng(0).normal(size=(50_000, 28)).astype(np.float32))
    rows = rows.with_columns(town=pl.Series(["Bern", "Rome"] * 25_000), label=pl.Series(["cat", "dog"] * 25_000))
    peaks_mb = []
    for parts in (4, 8):
        folder = tmp_path / str(parts)
        folder.mkdir()
        for part in range(parts):
            path = folder / f"{part}.{form}"
            rows.write_csv(path) if form == "csv" else rows.write_parquet(path, row_group_size=10_000)
        environment = environment_of(endpoint, s3_key)
        peaks_mb.append(peak_memory_of_partitioning(folder, f"{bucket}-{parts}", environment))

    assert max(peaks_mb) < 350
    assert peaks_mb[1] < peaks_mb[0] + 60
    assert read_manifest(s3, f"{bucket}-8").rows == 400_000


# A child's largest size counts that of its parent at the time of the fork: a small parent is needed.
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_memory_of_partitioning(path, bucket, environment, *options):
    """The largest resident size of the command, in MB."""
    command = [*PARTITION, "--file-path", path, "--n-workers", "2", "--bucket-name", bucket, *options]
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, *command], env=environment, capture_output=True, check=True
    )
    return int(measured.stdout) / 1024


@pytest.mark.parametrize(
    ("stop", "says"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "interrupted (SIGTERM)"), (signal.SIGKILL, "")]
)
def test_an_interrupted_run_leaves_nothing(start, s3, bucket, tmp_path, stop, says):
    """Stopped in mid-file, even by SIGKILL: no temporary file, no bucket, and the next run writes what it should."""
    spill = tmp_path / "spill"
    spill.mkdir()
    rows = tmp_path / "rows"
    rows.write_bytes(b"".join(b"%d 1:%d 2:0.123456789\n" % (row % 2, row) for row in range(1_000_000)))
    command = [*PARTITION, "--file-path", rows, "--n-workers", "2", "--spill-dir", spill]
    process = start(*command, "--bucket-name", bucket)
    wait_until(lambda: has_opened_a_file_in(process.pid, spill))

    process.send_signal(stop)

    said = process.communicate(timeout=60)[1].strip()
    assert process.returncode != 0
    assert says == said
    assert [] == list(spill.iterdir())
    assert bucket not in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]


@pytest.mark.parametrize("stop", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGKILL])
def test_a_run_that_was_stopped_while_it_wrote_is_made_good_by_the_next_one(call, start, s3, bucket, tmp_path, stop):
    """There is no manifest, so there is no set; run again, the same command writes the bytes of a run in peace."""
    spill = tmp_path / "spill"
    spill.mkdir()
    rows = tmp_path / "rows"
    rows.write_bytes(b"".join(b"%d 1:%d 2:0.123456789\n" % (row % 2, row) for row in range(100_000)))
    command = [*PARTITION, "--file-path", rows, "--n-workers", "100", "--spill-dir", spill]
    process = start(*command, "--bucket-name", bucket)
    wait_until(lambda: has_partitions(s3, bucket))

    process.send_signal(stop)

    process.communicate(timeout=60)
    assert process.returncode != 0
    assert [] == list(spill.iterdir())
    assert "manifest.json" not in list_objects(s3, bucket)
    for name in (bucket, f"{bucket}-peace"):
        assert "" == call(*command, "--bucket-name", name).stderr
    stopped, in_peace = (
        {key: s3.get_object(Bucket=name, Key=key)["Body"].read() for key in list_objects(s3, name)}
        for name in (bucket, f"{bucket}-peace")
    )
    assert 101 == len(stopped)
    assert in_peace == stopped


def has_partitions(s3, bucket):
    """Whether something lies in a bucket, which may not be there yet."""
    try:
        return bool(list_objects(s3, bucket))
    except s3.exceptions.NoSuchBucket:
        return False


def has_opened_a_file_in(pid, folder):
    """Whether the process holds a file of the folder open, with or without a name."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if link.readlink().is_relative_to(folder):
                return True
        except FileNotFoundError:  # closed meanwhile
            continue
    return False


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_commands_at_once_do_not_break_one_another(s3, call, start, bucket, tmp_path, count):
    """Processes that partition the same file into the same bucket all succeed, and leave what one alone would."""
    rows = np.random.default_rng(0).normal(size=(5000, 4)).astype(np.float32)
    (tmp_path / "rows").write_bytes(format_rows(Dataset(rows, np.ones(5000, np.float32))))
    command = [*PARTITION, "--file-path", tmp_path / "rows", "--n-workers", "8", "--seed", "2", "--json"]
    alone = call(*command, "--bucket-name", f"{bucket}-peace").stdout

    processes = [start(*command, "--bucket-name", bucket) for _ in range(count)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]

    assert [0] * count == [process.returncode for process in processes]
    assert [json.loads(alone)] * count == [json.loads(output) for output in outputs]
    together, in_peace = (
        {key: s3.get_object(Bucket=name, Key=key)["Body"].read() for key in list_objects(s3, name)}
        for name in (bucket, f"{bucket}-peace")
    )
    assert 9 == len(together)
    assert in_peace == together
