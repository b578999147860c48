"""The forecast: arithmetic on what a run measured and AWS's constants, and what it says when figures are missing."""

import math
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from harness.cli.forecast_options import RATE_HELP, UNUSED
from harness.cli.main import cli
from harness.errors import HarnessError
from harness.presets.figures import FIGURES
from harness.presets.preset import load_preset
from harness.presets.prices import load_prices
from harness.presets.writer import value_fields
from harness.report.assumptions import Assumptions
from harness.report.forecast import forecast
from harness.report.measured import measured_run
from harness.report.measurements import Measured
from harness.report.rates import RATES as RATES_BY_NAME
from harness.report.rates import rates_of
from harness.runs.keeping import partition_bytes
from training.errors import InputError
from training.exchange.collectives.registry import EXACT
from training.job import Job
from training.run.model_file import TrainedModel, encode_model
from training.run.results import RunFolder

BUCKET = "lambda-harness-runs"
RATES = rates_of(load_prices())
# Figures above which nothing changes: only less of them does.
LIMITS = (
    "store_bandwidth",
    "function_bandwidth",
    "s3_reads",
    "s3_writes",
    "function_burst",
    "function_burst_bandwidth",
    "s3_bandwidth",
    "s3_write_bandwidth",
)
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


# A preset in which nothing varies.
STEADY = (
    "cold_start_zip=80",
    "store_latency=0.66",
    "store_latency_other_zone=1.66",
    "s3_latency=30",
    "s3_write_latency=40",
    "fan_out=1:0.1,100:0.5",
)


def assumed(*overrides, **changed):
    """A preset in which nothing varies, and some other figures."""
    return Assumptions(load_preset(overrides=[*STEADY, *overrides]), rates_of(load_prices()), **changed)


def one(run=RUN, workers=4, memory_mb=1769, *overrides, **changed):
    """One line of a forecast."""
    (line,) = forecast(run, [workers], [memory_mb], assumed(*overrides, **changed))
    return line


def measured_of(s3, run_id="a-run"):
    """The measurements of a run, and its job."""
    return measured_run(RunFolder(s3, BUCKET, run_id), lambda job: partition_bytes(s3, job))


def test_a_line_is_the_sum_of_its_parts():
    """Start, load, exchange, compute and storing by hand, for one worker, which exchanges nothing."""
    line = one(workers=1)

    # Coordinator and worker start one after the other; between them are two reads, a write and 20 ms of work.
    assert 2 * 0.1 + 2 * 0.03 + 0.04 + 0.02 == pytest.approx(line.start_s)
    # Large partitions are read by more than one request.
    assert 2 * 0.03 + 130 / 99.8 + 1.0 == pytest.approx(line.load_s)
    assert 0 == line.exchange_s
    assert 100 * 0.4 + 2.0 == pytest.approx(line.compute_s)
    parts = (line.start_s, line.load_s, line.exchange_s, line.compute_s, line.store_s)
    assert sum(parts) == pytest.approx(line.seconds) == line.seconds_p10 == line.seconds_p90


def test_the_cost_is_memory_by_time_requests_and_the_cache():
    """By hand for two workers, which start at the same time."""
    line = one(replace(RUN, imports_s=0.2), workers=2)
    handler_s = line.seconds - line.start_s
    gb_s, init_gb_s = (
        (2 * workers_s * 1769 + coordinator_s * 512) / 1024
        for workers_s, coordinator_s in ((handler_s, 0.12), (0.28, 0.28))
    )

    assert gb_s * 0.0000166667 == pytest.approx(line.cost_usd["functions"], rel=0.01)
    assert init_gb_s * 0.0000166667 == pytest.approx(line.cost_usd["init"])
    assert 3 * 0.2e-6 == pytest.approx(line.cost_usd["requests"])
    assert line.seconds / 3600 * 0.068 == pytest.approx(line.cost_usd["cache"])
    assert line.seconds / 3600 * 0.01 == pytest.approx(line.cost_usd["endpoint"])
    assert 3 * 0.4e-6 + 13 * 5e-6 == pytest.approx(line.cost_usd["s3"])
    assert line.lambda_usd + line.other_usd == pytest.approx(line.usd) == pytest.approx(sum(line.cost_usd.values()))


def test_more_workers_share_the_work_and_pay_for_the_exchange():
    """Compute falls as 1/w; start and exchange grow."""
    lines = list(forecast(RUN, [4, 32, 64], [1769], assumed()))

    assert [10.5, 1.3125, 0.65625] == pytest.approx([line.compute_s for line in lines])
    assert lines[0].exchange_s < lines[1].exchange_s < lines[2].exchange_s
    assert lines[0].start_s < lines[1].start_s < lines[2].start_s


def test_memory_changes_the_share_of_the_processor_and_nothing_else():
    """At half of 1,769 MB, what computes takes twice as long, but for the imports; a second core helps nobody."""
    run = replace(RUN, imports_s=0.5)
    half, whole, double = (one(run, 1, size) for size in (885, 1769, 3538))

    assert 2.0 == pytest.approx(half.compute_s / whole.compute_s, rel=2e-3)
    assert half.start_s == pytest.approx(whole.start_s) == pytest.approx(double.start_s)
    assert whole.compute_s == double.compute_s
    assert double.lambda_usd > whole.lambda_usd


def test_starts_by_kind_and_number():
    """An image starts later than a zip, many later than few, and warm functions at once."""
    image = one(replace(RUN, image=True, imports_s=0.2), 4, 1769, "cold_start_image=180")
    zipped, many, warm = (
        one(replace(RUN, imports_s=0.2), workers, 1769, *scale)
        for workers, scale in ((4, ()), (100, ()), (4, ("start_scale=0",)))
    )

    assert 2 * 0.1 == pytest.approx(image.start_s - zipped.start_s)
    assert 0.5 - 0.1 * 5 ** (math.log(4) / math.log(100)) == pytest.approx(many.start_s - zipped.start_s)
    assert 2 * 0.03 + 0.04 + 0.02 == pytest.approx(warm.start_s)
    assert 0 == warm.cost_usd["init"]


def test_what_varies_gives_a_band_and_waits_for_the_slowest():
    """With drawn reads of S3 the band is open, and more workers wait for slower draws."""
    few, many = (one(RUN, workers, 1769, "s3_latency=p50:30,p99:100", "fan_out=1:0.1,2:0.1") for workers in (2, 64))

    assert few.seconds_p10 < few.seconds < few.seconds_p90
    assert few.usd_p10 < few.usd < few.usd_p90
    # The transfer and the work of 64 workers are less.
    assert many.load_s - 2.3 / 64 > few.load_s - 2.3 / 2


def test_the_same_seed_gives_the_same_forecast():
    """Twice with one seed, and once with another."""
    first, second, third = (one(RUN, 8, 1769, "s3_latency=p50:30,p99:100", seed=seed).seconds_p90 for seed in (1, 1, 2))

    assert first == second != third


def test_every_figure_changes_the_forecast():
    """None of the flags is without effect, with few workers or with many, from zips or from images."""
    run = replace(RUN, sync_mode="reduce_scatter", part_bytes=20_000_000)

    def figures(*overrides):
        preset = load_preset(overrides=overrides)
        return [
            (line.seconds, line.usd)
            for image, zones in ((False, 1), (True, 2))
            for line in forecast(
                replace(run, image=image), [2, 34], [1769], Assumptions(preset, RATES, zones, nodes=8, image_mb=9)
            )
        ]

    usual = figures()
    for name, figure in load_preset().figures.items():
        if name not in (*UNUSED, "function_pulse"):
            fields = value_fields(figure.value)
            value = fields.get("value") or fields.get("by_count") or {key: 3 * n for key, n in fields.items()}
            text = (
                f"{0.01 * value if name in LIMITS else 3 * value}"
                if isinstance(value, float)
                else ",".join(f"{key}:{(0.5 if isinstance(value, list) else 1) * n}" for key, n in _pairs(value))
            )
            assert usual != figures(f"{name}={text}"), name


def _pairs(value):
    return value if isinstance(value, list) else value.items()


def test_every_rate_changes_the_cost():
    """Each flag of a price, with functions in two zones."""

    def usd(**changed):
        rates = rates_of(load_prices(), changed=changed)
        (line,) = forecast(RUN, [2], [1769], Assumptions(load_preset(overrides=STEADY), rates, zones=2))
        return line.usd

    for name in RATES_BY_NAME:
        assert usd() < usd(**{name: 1000.0}), name


def test_auto_is_what_the_ranks_choose_by_the_cache_s_link():
    """Two ranks gather; `two_level` is never chosen, only asked for."""
    auto = replace(RUN, sync_mode="auto", part_bytes=31_400)

    assert "all_gather" == one(auto, workers=2).collective
    assert one(auto, workers=500).collective in EXACT
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


def test_imports_are_those_of_the_run_or_a_stated_assumption(s3, folder):
    """The median of cold starts; where all environments were warm, the forecast says what it assumes instead."""
    warm, _ = measured_of(s3)
    cold_start = {"interpreter": 0.1, "imports": 0.4, "s3_client": 0.2}
    folder.write_json("workers/1.1.json", {**folder.read_json("workers/1.1.json"), "cold_start": cold_start})
    cold, _ = measured_of(s3)

    assert warm.assumed == ("all workers ran in warm environments: imports are taken for 0.5 s",)
    assert 0.7 == pytest.approx(cold.imports_s)
    assert cold.assumed == ()


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
        (["--s3-bandwidth", "0"], ["--s3-bandwidth", "above 0"]),
        (["--store-latency", "p50:0.6,p99:0.2"], ["--store-latency", "do not ascend"]),
        (["--store-latency", "fast"], ["--store-latency", "fast", "p50:0.6,p99:1.2"]),
        (["--zones", "9"], ["--zones", "1<=x<=5"]),
        (["--lambda-price", "-1"], ["--lambda-price", "0<=x<=1000000"]),
        ([], ["RUN_ID"]),
    ],
)
def test_bad_flags_are_refused_with_what_is_allowed(arguments, words):
    """Each names the flag, the value and the range."""
    answer = CliRunner().invoke(cli, ["forecast", *arguments, *(["a-run"] if arguments else [])])

    assert 2 == answer.exit_code
    assert all(word in answer.output for word in words)


def test_help_shows_every_figure_with_its_source():
    """A reader sees where a figure comes from."""
    text = " ".join(CliRunner().invoke(cli, ["forecast", "--help"], terminal_width=200).output.split())

    for name, figure in load_preset().figures.items():
        if name not in UNUSED:
            assert f"--{name.replace('_', '-')}" in text
            assert figure.source.split(",")[0] in text
            assert FIGURES[name].meaning in text
    assert set(RATE_HELP) == set(RATES_BY_NAME)
