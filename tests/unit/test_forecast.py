"""The forecast: arithmetic on what a run measured and AWS's constants, and what it says when figures are missing."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from harness.cli.main import cli
from harness.errors import HarnessError
from harness.report import closed_form
from harness.report.constants import CONSTANTS
from harness.report.forecast import Measured, constants, forecast, network_of, start_seconds
from harness.report.measured import measured_run
from harness.runs.keeping import partition_bytes
from training.errors import InputError
from training.job import Job
from training.run.model_file import TrainedModel, encode_model
from training.run.results import RunFolder

BUCKET = "lambda-harness-runs"
RUN = Measured(
    run_id="a-run",
    sync_mode="reduce",
    workers=4,
    rows=90_000,
    data_bytes=130_000_000,
    part_bytes=120,
    rounds=100,
    other_all_reduces=0,
    round_rows=4000,
    compute_s=0.4,
    evaluation_s=2.0,
    decode_s=1.0,
    max_rss_mb=80.0,
)


def one(run=RUN, workers=4, memory_mb=1769, **changed):
    """One line of a forecast."""
    (line,) = forecast(run, [workers], [memory_mb], constants(changed))
    return line


def measured_of(s3, run_id="a-run"):
    """The measurements of a run, and its job."""
    return measured_run(RunFolder(s3, BUCKET, run_id), lambda job: partition_bytes(s3, job))


def test_a_line_is_the_sum_of_its_parts():
    """Start, load, exchange and compute by hand, for one worker, which exchanges nothing."""
    line = one(workers=1)

    assert 1.2 == line.start_s
    assert 0.08 + 130 / 65 + 1.0 == pytest.approx(line.load_s)
    assert 0 == line.exchange_s
    assert 100 * 0.4 + 2.0 == pytest.approx(line.compute_s)
    assert line.start_s + line.load_s + line.exchange_s + line.compute_s == pytest.approx(line.seconds)


def test_the_cost_is_memory_by_time_requests_and_the_cache():
    """By hand for two workers: each is billed for half of the start on average, the coordinator for all of it."""
    line = one(workers=2, memory_mb=1769)
    gb_s = (2 * (line.seconds - line.start_s / 2) + line.start_s) * 1769 / 1024

    assert gb_s * 0.0000166667 + 3 * 0.2e-6 == pytest.approx(line.lambda_usd)
    assert line.seconds / 3600 * 0.068 + 2 * 0.4e-6 + 6 * 5e-6 == pytest.approx(line.other_usd)
    assert line.lambda_usd + line.other_usd == line.usd


def test_more_workers_share_the_work_and_pay_for_the_exchange():
    """Compute falls as 1/w; start and exchange grow."""
    lines = list(forecast(RUN, [4, 8, 64], [1769], constants({})))

    assert [10.5, 5.25, 0.65625] == pytest.approx([line.compute_s for line in lines])
    assert lines[0].exchange_s < lines[1].exchange_s < lines[2].exchange_s
    assert lines[0].start_s <= lines[1].start_s < lines[2].start_s


def test_less_memory_is_less_of_a_core_and_more_is_no_more():
    """At half of 1,769 MB everything that computes takes twice as long; a second core helps nobody."""
    half, whole, double = (one(workers=1, memory_mb=size) for size in (885, 1769, 3538))

    assert 2.0 == pytest.approx(half.compute_s / whole.compute_s, rel=2e-3)
    assert whole.compute_s == double.compute_s
    assert double.lambda_usd > whole.lambda_usd


@pytest.mark.parametrize(("workers", "seconds"), [(1, 1.2), (10, 1.2), (30, 6.1), (200, 35.0), (300, 52.0)])
def test_the_start_lies_between_the_points_known(workers, seconds):
    """Linear between LambdaML's points, and on beyond the last."""
    assert seconds == pytest.approx(start_seconds(workers))


def test_every_constant_changes_the_forecast():
    """None of the flags is without effect, with few workers or with many."""
    run = replace(RUN, sync_mode="reduce_scatter", part_bytes=1_000_000)

    def figures(**changed):
        return [(line.seconds, line.usd) for line in forecast(run, [2, 50], [1769], constants(changed))]

    for constant in CONSTANTS:
        assert figures() != figures(**{constant.name: constant.value * 3}), constant.name


def test_auto_takes_the_quickest_of_equal_bits():
    """Two ranks gather; `two_level` is never chosen, only asked for."""
    auto = replace(RUN, sync_mode="auto", part_bytes=31_400)
    network = network_of(constants({}))
    quickest = min(
        ("all_gather", "reduce", "reduce_scatter", "two_level"),
        key=lambda name: closed_form.seconds(name, 500, 31_400, network),
    )

    assert "all_gather" == one(auto, workers=2).collective
    assert "two_level" == quickest
    assert "reduce" == one(auto, workers=500).collective
    assert "two_level" == one(replace(auto, sync_mode="two_level"), workers=500).collective


@pytest.mark.parametrize(
    ("run", "workers", "memory_mb", "note"),
    [
        (RUN, 4, 1769, ""),
        (RUN, 1, 256, "needs about 275 MB"),
        (replace(RUN, round_rows=30), 64, 1769, "only 30 rows a round"),
        (replace(RUN, rounds=100_000), 4, 1769, "beyond 15 min: a chain of functions"),
    ],
)
def test_what_stands_against_a_line_is_noted(run, workers, memory_mb, note):
    """Too little memory, fewer rows than workers, more than a function's longest time."""
    assert note == one(run, workers, memory_mb).note


@pytest.fixture
def folder(s3):
    """A finished run of two workers as it lies in S3."""
    for bucket in (BUCKET, "rows"):
        s3.create_bucket(Bucket=bucket)
    folder = RunFolder(s3, BUCKET, "a-run")
    job = Job(data_bucket="rows", n_features=28, n_workers=2, host="h", sync_mode="reduce", run_id="a-run")
    folder.write_json("job.json", {"request_id": "r", "job": job})
    trained = TrainedModel.of_job(job, np.zeros(29, np.float32), None, (0, 1))
    sha256 = folder.write("model.npz", encode_model(trained))
    folder.write_json("result.json", {"rounds": 4, "epochs": [{}, {}], "model": {"sha256": sha256}})
    for rank in range(2):
        s3.put_object(Bucket="rows", Key=f"{rank}_2", Body=bytes(1000))
        folder.write_json(
            f"workers/{rank}.1.json",
            {
                "rank": rank,
                "attempt": 1,
                "rows": 100,
                "max_rss_mb": 70.0 + rank,
                "phases": {"load": 0.5, "train": 0.3 + rank},
            },
        )
        folder.write_json(
            f"telemetry/{rank}.1.json", {"round_ms": [50.0] * 4, "all_reduce_ms": [2.0, *[10.0] * 4, 2.0, 2.0]}
        )
    return folder


@pytest.mark.usefixtures("folder")
def test_a_run_is_read_from_its_folder(s3):
    """Rows and bytes of all workers, a round's compute without its exchange, evaluation without waiting for others."""
    run, job = measured_of(s3)

    assert ("lr", 2) == (job.model, run.workers)
    assert (200, 2000, 120, 4, 3, 100) == (
        run.rows,
        run.data_bytes,
        run.part_bytes,
        run.rounds,
        run.other_all_reduces,
        run.round_rows,
    )
    assert 2 * 0.040 == pytest.approx(run.compute_s)
    assert 2 * 0.1 == pytest.approx(run.evaluation_s)
    assert 71.0 == run.max_rss_mb


def test_the_last_try_of_a_rank_counts(s3, folder):
    """A worker that died and came back is read once."""
    folder.write_json("workers/1.10.json", {**folder.read_json("workers/1.1.json"), "rows": 60})
    folder.write_json("telemetry/1.10.json", folder.read_json("telemetry/1.1.json"))

    assert 160 == measured_of(s3)[0].rows


def test_the_links_of_a_chain_are_one_run(s3, folder):
    """Rounds, all-reduces and time outside of rounds are those of all links; the compute of a round does not change."""
    alone, _ = measured_of(s3)
    for rank in range(2):
        worker, timings = folder.read_json(f"workers/{rank}.1.json"), folder.read_json(f"telemetry/{rank}.1.json")
        folder.write_json(f"links/{rank}.1.json", worker)
        folder.write_json(f"workers/{rank}.2.json", {**worker, "attempt": 2})
        folder.write_json(f"telemetry/{rank}.2.json", timings)
    folder.write_json("result.json", {**folder.read_json("result.json"), "rounds": 8})

    chain, _ = measured_of(s3)

    assert chain.rounds == 8
    assert chain.other_all_reduces == 2 * alone.other_all_reduces
    assert chain.compute_s == pytest.approx(alone.compute_s)
    assert chain.evaluation_s == pytest.approx(2 * alone.evaluation_s)


@pytest.mark.usefixtures("folder")
def test_data_that_is_gone_is_guessed_from_rows_and_columns(s3):
    """28 columns and a label of four bytes each."""
    s3.delete_object(Bucket="rows", Key="1_2")

    assert 200 * 29 * 4 == measured_of(s3)[0].data_bytes


@pytest.mark.parametrize(
    ("run_id", "spoil", "message"),
    [
        ("no-run", lambda _: None, "there is no run no-run"),
        (
            "a-run",
            lambda folder: folder.delete(["result.json"]),
            "run a-run has no result: it failed or has not finished",
        ),
        ("a-run", lambda folder: folder.delete(["telemetry/1.1.json"]), "2 workers and timings of 1; it had 2"),
        ("a-run", lambda folder: folder.write_json("telemetry/1.1.json", {}), "no figures of round_ms"),
        (
            "a-run",
            lambda folder: folder.write_json(
                "workers/1.1.json", {**folder.read_json("workers/1.1.json"), "phases": {}}
            ),
            "does not tell how long its workers took to train",
        ),
    ],
)
def test_a_run_that_lacks_something_is_refused_with_what_it_lacks(s3, folder, run_id, spoil, message):
    """Unknown, unfinished, or without a figure that is needed."""
    spoil(folder)

    with pytest.raises(HarnessError, match=message):
        measured_of(s3, run_id)


def test_a_job_of_another_version_is_refused_by_its_key(s3, folder):
    """A key that this version does not know is named."""
    record = folder.read_json("job.json")
    folder.write_json("job.json", {**record, "job": {**record["job"], "gossip": 1}})

    with pytest.raises(InputError, match="gossip"):
        measured_of(s3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workers", "2,x"], ["--workers", "2,x", "from 1 to 1000"]),
        (["--workers", "0"], ["'0'", "from 1 to 1000"]),
        (["--workers", ""], ["from 1 to 1000"]),
        (["--memory-mb", "64"], ["--memory-mb", "64", "from 128 to 10240"]),
        (["--s3-bandwidth", "0"], ["--s3-bandwidth", "x>0"]),
        (["--lambda-price", "-1"], ["--lambda-price", "x>=0"]),
        ([], ["RUN_ID"]),
    ],
)
def test_bad_flags_are_refused_with_what_is_allowed(arguments, words):
    """Each names the flag, the value and the range."""
    answer = CliRunner().invoke(cli, ["forecast", *arguments, *(["a-run"] if arguments else [])])

    assert 2 == answer.exit_code
    assert all(word in answer.output for word in words)


def test_help_shows_every_constant_with_its_source():
    """A reader sees where a figure comes from and when it was read."""
    text = " ".join(CliRunner().invoke(cli, ["forecast", "--help"], terminal_width=200).output.split())

    for constant in CONSTANTS:
        assert f"--{constant.name.replace('_', '-')}" in text
        assert constant.source.split(",")[0] in text
    assert json.dumps(0.068) in text
