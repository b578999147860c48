"""Kept runs: what is copied below `.harness/runs`, what is refused, and which runs the limits remove."""

import os
import stat
from pathlib import Path

import msgspec
import pytest

from harness.errors import HarnessError
from harness.history.folder import KeptFolder, find_run, history_root, kept_runs
from harness.history.keeping import keep_run
from harness.history.limits import beyond_limits, forgotten, keep_limits
from harness.history.names import is_safe, match_run
from harness.history.records import KeptRecord, LoggedLine
from harness.runs.catalogue import kept_entries
from harness.settings import HistorySettings, load_settings
from training.errors import InputError
from training.run.results import RunFolder

BUCKET, RUN = "results", "20261201-100000-abcdef"
RUNS = ["20261201-100000-abcdef", "20261201-110000-abc123", "20261202-090000-ffffff"]


@pytest.fixture(autouse=True)
def bucket(s3):
    """The bucket of the runs."""
    s3.create_bucket(Bucket=BUCKET)


@pytest.fixture
def settings(tmp_path):
    """The settings of an empty project."""
    return load_settings(tmp_path)


def record(run_id=RUN, **changed):
    """What became of a run."""
    return KeptRecord(run_id=run_id, **{"status": "succeeded", "started_at": 1e9, **changed})


def kept(root, run_id, **changed):
    """A kept run of nothing but its record."""
    folder = root / run_id
    folder.mkdir(parents=True)
    (folder / "run.json").write_bytes(msgspec.json.encode(record(run_id, **changed)))
    return KeptFolder(folder)


def test_a_kept_run_reads_as_its_folder_in_s3_did(s3, settings):
    """Objects have their names and bytes, the summary and the log lie beside them, and nobody else may read them."""
    source = RunFolder(s3, BUCKET, RUN)
    source.write_json("job.json", {"job": {"model": "lr"}})
    source.write("model.npz", b"model")
    source.write_json("workers/0.1.json", {"rank": 0})
    source.write("checkpoint/4/shared", b"state")
    line = LoggedLine(1e9, "linear_ec_2", "a-request", "a line")

    folder = keep_run(settings, source, record(), summary={"loss": 1.5}, lines=[line], invocations=[{"number": 1}])

    assert ["job.json", "model.npz", "workers/0.1.json"] == [
        name for name in folder.names("") if source.read(name) is not None
    ]
    assert b"model" == folder.read("model.npz")
    assert {"job": {"model": "lr"}} == folder.read_json("job.json")
    assert ["workers/0.1.json"] == folder.names("workers/")
    assert {"loss": 1.5} == folder.read_json("summary.json")
    assert line == msgspec.json.decode(folder.read("log.jsonl"), type=LoggedLine)
    assert folder.read("checkpoint/4/shared") is None
    assert folder.read("absent.json") is None
    modes = {stat.S_IMODE(path.stat().st_mode) for path in [folder.path, *folder.path.rglob("*")]}
    assert {0o700, 0o600} == modes


def test_a_damaged_record_of_a_kept_run_is_named(s3, settings):
    """As in S3, and by its path."""
    source = RunFolder(s3, BUCKET, RUN)
    source.write("job.json", b"{")

    folder = keep_run(settings, source, record())

    with pytest.raises(InputError, match=r"runs/20261201-100000-abcdef/job\.json"):
        folder.read_json("job.json")


@pytest.mark.parametrize(
    "name", ["../../escaped", "workers/../../../escaped", "/escaped", "a//b", "a/./b", ".hidden", "a\nb", "x" * 300]
)
def test_an_object_whose_name_leads_out_of_the_folder_is_left_out(s3, settings, tmp_path, name):
    """Nothing is written elsewhere, the rest is kept, and the record says what is missing."""
    source = RunFolder(s3, BUCKET, RUN)
    source.write("job.json", b"{}")
    s3.put_object(Bucket=BUCKET, Key=f"runs/{RUN}/{name}", Body=b"hostile")

    folder = keep_run(settings, source, record())

    assert not is_safe(name)
    assert ["job.json", "log.jsonl", "run.json"] == folder.names("")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"hostile" in path.read_bytes()]
    assert ["it has not the name of a run's object" in line for line in folder.record().left_out] == [True]


def test_an_object_beside_a_folder_of_its_name_is_left_out(s3, settings):
    """S3 can hold both, a file system cannot."""
    source = RunFolder(s3, BUCKET, RUN)
    source.write("workers", b"hostile")
    source.write("workers/0.1.json", b"{}")
    source.write("run.json", b"hostile")

    folder = keep_run(settings, source, record())

    assert b"{}" == folder.read("workers/0.1.json")
    assert "succeeded" == folder.record().status
    assert 2 == len(folder.record().left_out)


def test_what_is_too_large_is_left_out_and_the_rest_is_kept(s3, settings):
    """A model beyond the limit; small records come first."""
    source = RunFolder(s3, BUCKET, RUN)
    source.write("model.npz", bytes(2 << 20))
    source.write("result.json", b"{}")
    small = msgspec.structs.replace(settings, history=HistorySettings(most_mb=1))

    folder = keep_run(small, source, record())

    assert folder.read("model.npz") is None
    assert b"{}" == folder.read("result.json")
    assert ["model.npz: 2097152 bytes are more than [history] most_mb allows"] == folder.record().left_out


def test_a_run_that_cannot_be_kept_leaves_nothing_behind(s3, settings, tmp_path):
    """The error names the folder; a half-written run is not listed."""
    (tmp_path / ".harness").mkdir()
    (tmp_path / ".harness" / "runs").write_text("a file in the way")

    with pytest.raises(HarnessError, match=r"cannot write to .*\.harness"):
        keep_run(settings, RunFolder(s3, BUCKET, RUN), record())

    assert [] == kept_runs(history_root(settings))


def test_a_run_is_replaced_as_a_whole_and_only_if_asked(s3, settings):
    """The follower's own record replaces another's; one that was found later does not replace it."""
    source = RunFolder(s3, BUCKET, RUN)
    keep_run(settings, source, record(status="unfinished"))
    keep_run(settings, source, record(status="succeeded", seconds=2.0), replace=False)

    folder = keep_run(settings, source, record(status="failed"), replace=False)

    assert ("succeeded", 2.0) == (KeptFolder(folder.path).record().status, KeptFolder(folder.path).record().seconds)
    assert "stopped" == keep_run(settings, source, record(status="stopped")).record().status
    assert [RUN] == [path.name for path in history_root(settings).iterdir()]


@pytest.mark.parametrize(
    ("limits", "removed"),
    [
        (HistorySettings(), []),
        (HistorySettings(most_runs=2), ["r1"]),
        (HistorySettings(most_mb=10), ["r1", "r2"]),
        (HistorySettings(max_age_days=1.5), ["r1"]),
    ],
)
def test_the_oldest_runs_go_first(tmp_path, limits, removed):
    """By number, by size and by age; the newest is the last to go."""
    day = 86_400
    runs = [kept(tmp_path, f"r{number}", started_at=number * day, bytes=6 << 20) for number in (1, 2, 3)]

    assert removed == [folder.run_id for folder in beyond_limits(runs, limits, now=3 * day)]


def test_a_run_that_has_just_ended_or_still_runs_stays(tmp_path):
    """Whatever the limits say."""
    kept(tmp_path, "old", started_at=1.0, bytes=1 << 30)
    kept(tmp_path, "running", started_at=2.0, status="running")
    kept(tmp_path, "newer", started_at=3.0)

    assert ["newer"] == keep_limits(tmp_path, HistorySettings(most_runs=1, most_mb=1, max_age_days=1), spare="old")
    assert ["old", "running"] == [folder.run_id for folder in kept_runs(tmp_path)]
    assert ["newer"] == forgotten(tmp_path)


@pytest.mark.parametrize(
    ("name", "run_id"), [(RUNS[0], RUNS[0]), ("20261202", RUNS[2]), ("20261201-11", RUNS[1]), ("last", RUNS[2])]
)
def test_a_run_is_found_by_the_beginning_of_its_name(name, run_id):
    """Or by its name, or as the last one."""
    assert run_id == match_run(name, RUNS)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("20261201", "2 runs begin with 20261201\n20261201-100000-abcdef, 20261201-110000-abc123\nwrite more"),
        ("20261201-100000-abcdee", "no run 20261201-100000-abcdee\nlooked here\ndid you mean 20261201-100000-abcdef"),
        ("zzz", "no run zzz\nlooked here\nsee `harness runs`"),
        ("", "there is no run ''"),
        ("a\u2028b", r"there is no run 'a\u2028b'"),
    ],
)
def test_an_unknown_run_is_refused_with_near_matches(name, words):
    """The message names the runs that were meant, or where to see them."""
    with pytest.raises(HarnessError) as raised:
        match_run(name, RUNS, "looked here")

    assert words in str(raised.value)


def test_a_kept_run_is_found_below_its_root(tmp_path):
    """Folders that no run has made are skipped, and so is one that is being written."""
    kept(tmp_path, RUN)
    (tmp_path / f".new-{RUN}-1-aa").mkdir()
    Path(tmp_path / "a-file").write_text("")

    assert RUN == find_run(tmp_path, "2026").run_id
    assert [RUN] == [folder.run_id for folder in kept_runs(tmp_path)]


@pytest.mark.parametrize("name", ["run.json", "job.json", "summary.json"])
def test_a_run_that_cannot_be_read_does_not_hide_the_others(tmp_path, name):
    """It is listed as damaged, whether its file cannot be opened or would be waited for."""
    for run_id in RUNS:
        kept(tmp_path, run_id)
    for run_id, put in (RUNS[0], os.mkfifo), (RUNS[1], lambda path: path.symlink_to(path.name)):
        (tmp_path / run_id / name).unlink(missing_ok=True)
        put(tmp_path / run_id / name)

    assert ["damaged", "damaged", "succeeded"] == [
        entry.status for entry in sorted(kept_entries(tmp_path), key=lambda entry: entry.run_id)
    ]


def test_a_device_in_place_of_a_file_is_not_read(tmp_path):
    """It has no end."""
    folder = kept(tmp_path, RUN)
    (folder.path / "log.jsonl").symlink_to("/dev/zero")

    with pytest.raises(InputError, match=r"log\.jsonl is no regular file"):
        folder.read("log.jsonl")
