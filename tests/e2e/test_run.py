"""The whole flow on the real stack: coordinator, workers, Memcached, S3."""

import hashlib
import io
import json
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import pytest

from harness.aws.clients import clients_for
from harness.errors import HarnessError
from harness.runs.functions import make_declared
from harness.runs.prepared import RESULT_BUCKET
from tests.support.running import run_job
from training.errors import InputError, JobError
from training.exchange.collectives.cost_model import USUAL
from training.run.results import RunFolder


@pytest.fixture(scope="module")
def clients(stack):
    """Clients of the session's stack."""
    return clients_for(stack.endpoints)


def parameters_of(summary, clients):
    """The trained parameters, read as a user would."""
    bucket, key = summary.model["location"].removeprefix("s3://").split("/", 1)
    body = clients.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    assert hashlib.sha256(body).hexdigest() == summary.model["sha256"]
    with np.load(io.BytesIO(body), allow_pickle=False) as model:
        return model["parameters"]


def test_the_loss_falls_and_the_summary_is_whole(stack, settings):
    """A run of 4 workers on HIGGS-like data learns; every figure of the summary is there and makes sense."""
    summary = run_job(
        stack, settings, data="synthetic:rows=20000,features=28", n_workers=4, n_epochs=3, batch_size=1000
    )

    losses = [epoch["loss"] for epoch in summary.epochs]
    assert "succeeded" == summary.status
    assert sorted(losses, reverse=True) == losses
    assert losses[-1] < 0.69
    assert {"n_classes": 2, "model": "lr", "lr": 0.1} == summary.defaults
    assert summary.defaults.items() <= summary.job.items()
    assert [] == summary.warnings
    assert 3 * 4 == summary.rounds  # 4,500 training rows a worker in batches of 1,000, the last one of 1,500
    assert [0, 1, 2, 3] == [worker.rank for worker in summary.workers]
    assert [1] * 4 == [worker.attempts for worker in summary.workers]
    assert 18_000 == sum(worker.rows for worker in summary.workers)
    assert all(worker.max_rss_mb > 0 for worker in summary.workers)
    assert 0.5 < summary.validation["accuracy"] < 1
    assert summary.seconds.total > summary.seconds.start > 0
    assert 0 < summary.cost_usd < 0.01
    json.dumps(msgspec.to_builtins(summary))


def test_breast_cancer_is_learnt(stack, settings):
    """Logistic regression on real data reaches a validation accuracy of 0.94."""
    summary = run_job(stack, settings, data="sklearn:breast_cancer", n_workers=2, n_epochs=30, batch_size=32, lr=0.1)

    assert summary.validation["accuracy"] >= 0.94


def test_ten_classes_are_learnt(stack, settings):
    """Softmax regression on the digits reaches an accuracy of 0.9."""
    summary = run_job(stack, settings, data="sklearn:digits", n_workers=2, n_epochs=20, batch_size=50, lr=0.5)

    assert 10 == summary.job["n_classes"]
    assert summary.accuracy >= 0.9


@pytest.mark.parametrize("rows", [pytest.param(12_000, marks=pytest.mark.slow), 12_001])
def test_any_number_of_workers_gives_the_same_model(stack, settings, clients, rows):
    """The whole data as one global batch: 1, 3 and 4 workers agree to 1e-5 in loss and model."""
    data = f"synthetic:rows={rows},features=10"
    job = {"valid_ratio": 0, "n_epochs": 4, "lr": 0.5}
    summaries = [run_job(stack, settings, data=data, n_workers=n, batch_size=-(-rows // n), **job) for n in (1, 3, 4)]

    models = [parameters_of(summary, clients) for summary in summaries]
    assert [4] * 3 == [summary.rounds for summary in summaries]
    assert [summaries[0].loss] * 3 == pytest.approx([summary.loss for summary in summaries], abs=1e-5)
    for model in models[1:]:
        np.testing.assert_allclose(model, models[0], atol=1e-5)


@pytest.mark.parametrize("sync_mode", ["reduce", pytest.param("all_gather", marks=pytest.mark.slow)])
def test_the_same_seed_gives_the_same_bits(stack, settings, sync_mode):
    """Two runs with one seed end in the same model, bit for bit; another seed shuffles otherwise."""
    job = {"n_workers": 3, "sync_mode": sync_mode, "batch_size": 100}

    first, second, other = (run_job(stack, settings, seed=seed, **job) for seed in (5, 5, 6))

    assert first.model["sha256"] == second.model["sha256"]
    assert first.model["sha256"] != other.model["sha256"]


def test_both_collectives_give_the_same_bits(stack, settings):
    """How parts travel does not change the model."""
    job = {"n_workers": 4, "batch_size": 100}

    models = {run_job(stack, settings, sync_mode=mode, **job).model["sha256"] for mode in ("reduce", "all_gather")}

    assert 1 == len(models)


def test_auto_goes_by_the_cache_as_it_was_measured(stack, settings, clients):
    """The coordinator measures once, all ranks go by that, and the summary tells it."""
    summary = run_job(stack, settings, n_workers=3, batch_size=100)

    record = RunFolder(clients.s3, RESULT_BUCKET, summary.run_id).read_json("job.json")
    # On a machine that is too busy the probes may say nothing.
    assert (record["cache_link"] or msgspec.structs.asdict(USUAL)) == summary.exchange["link"]
    assert not record["cache_link"] or record["cache_link"]["zone"] == "use1-az1"
    assert [worker.zone for worker in summary.workers] == ["use1-az1"] * 3
    assert 0 < summary.exchange["link"]["latency_s"] < 0.2
    assert summary.exchange["link"]["bytes_per_s"] > 1e6
    exact = run_job(stack, settings, n_workers=3, batch_size=100, sync_mode="reduce")
    assert exact.exchange["link"] is None
    assert exact.model["sha256"] == summary.model["sha256"]


def test_two_runs_at_once_do_not_meet(stack, settings):
    """Runs that share stack, functions and cache end as they do alone."""
    jobs = [{"n_workers": 3, "seed": seed, "batch_size": 50} for seed in (1, 2)]
    alone = [run_job(stack, settings, **job).model["sha256"] for job in jobs]

    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda job: run_job(stack, settings, **job).model["sha256"], jobs))

    assert alone == together


def test_eight_workers_run_on_two_cores(stack, settings):
    """A barrier among eight ranks passes, whatever the number of cores."""
    summary = run_job(stack, settings, n_workers=8, batch_size=50)

    assert 8 == len(summary.workers)


def test_the_channel_keeps_the_originals_prefixes(stack, settings):
    """`tmp_bucket` and `merged_bucket` are accepted and change nothing in the model."""
    job = {"n_workers": 2, "batch_size": 100}

    plain = run_job(stack, settings, **job)
    prefixed = run_job(stack, settings, tmp_bucket="tmp-params", merged_bucket="merged-params", **job)

    assert plain.model["sha256"] == prefixed.model["sha256"]


def test_partitions_of_libsvm_text_are_read(stack, settings, clients):
    """A worker tells the original's text partitions from ours, and learns the same from them."""
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 3)).round(3)
    y = (x.sum(axis=1) > 0).astype(int)
    lines = [f"{c} " + " ".join(f"{i + 1}:{v}" for i, v in enumerate(row)) for c, row in zip(y, x, strict=True)]
    clients.s3.create_bucket(Bucket="text-partitions")
    for rank in range(2):
        clients.s3.put_object(Bucket="text-partitions", Key=f"{rank}_2", Body="\n".join(lines[rank::2]).encode())

    summary = run_job(stack, settings, data="s3://text-partitions", n_workers=2, n_features=3, n_epochs=20, lr=1.0)

    assert summary.accuracy > 0.9


def test_partitions_in_a_folder_of_a_bucket_train_as_those_at_its_top(stack, settings, clients):
    """Coordinator and workers find them there, and what else lies in the bucket does no harm."""
    clients.s3.create_bucket(Bucket="two-places")
    for folder in ("", "data/rows/"):
        rows = b"1 1:0.5\n0 1:-0.25\n1 1:1\n0 1:-1\n" if folder else b"not read"
        for rank in range(2):
            clients.s3.put_object(Bucket="two-places", Key=f"{folder}{rank}_2", Body=rows)

    summary = run_job(stack, settings, data="s3://two-places/data/rows", n_workers=2, n_features=1, batch_size=2)

    assert "data/rows/" == summary.job["data_prefix"]
    assert 8 == sum(worker.rows for worker in summary.workers)


def test_a_broken_partition_is_told_with_its_line(stack, settings, clients):
    """A worker that cannot parse its partition fails the run at once, with object, line and rank on the screen."""
    clients.s3.create_bucket(Bucket="broken-partitions")
    for rank, body in enumerate([b"1 1:0.5\n0 1:0.25\n", b"1 1:0.5\n0 1:zero\n"]):
        clients.s3.put_object(Bucket="broken-partitions", Key=f"{rank}_2", Body=body)

    with pytest.raises(HarnessError, match=r"worker 1 failed: .*broken-partitions/1_2.*2"):
        run_job(stack, settings, data="s3://broken-partitions", n_workers=2, n_features=1)


def test_a_diverging_run_is_stopped_with_its_cause(stack, settings, clients):
    """A loss that is no longer finite ends the run with the round and what to do."""
    clients.s3.create_bucket(Bucket="huge-values")
    for rank in range(2):
        clients.s3.put_object(Bucket="huge-values", Key=f"{rank}_2", Body=b"1 1:3e38\n1 1:3e38\n0 1:3e38\n" * 10)

    with pytest.raises(HarnessError, match=r"worker \d failed: the loss is \S+ in round \d+.*diverged; lower lr"):
        run_job(stack, settings, data="s3://huge-values", n_workers=2, n_features=1, lr=10.0, n_epochs=9)


def test_a_memcached_that_is_down_is_told(stack, settings):
    """Workers that cannot reach the cache fail the run with its address."""
    down = msgspec.structs.replace(stack.functions_see, discovery="127.0.0.1:1")

    with pytest.raises(HarnessError, match=r"Memcached at 127\.0\.0\.1:1 is not reachable"):
        run_job(msgspec.structs.replace(stack, functions_see=down), settings, n_workers=2)


def test_a_missing_partition_is_told_before_any_worker_runs(stack, settings, clients):
    """The coordinator names the first partition that is not there."""
    clients.s3.create_bucket(Bucket="half-a-set")
    clients.s3.put_object(Bucket="half-a-set", Key="0_2", Body=b"1 1:1\n")

    with pytest.raises(HarnessError, match=r"lacks 1 of 2 partitions, first: 1_2"):
        run_job(stack, settings, data="s3://half-a-set", n_workers=2, n_features=1)


def test_a_missing_bucket_is_told(stack, settings):
    """The error names the bucket."""
    with pytest.raises((HarnessError, InputError), match="no-such-bucket"):
        run_job(stack, settings, data="s3://no-such-bucket", n_workers=2, n_features=1)


def test_a_wrong_job_is_refused_before_anything_starts(stack, settings, clients):
    """A wrong job leaves no trace in S3."""
    before = len(clients.s3.list_buckets()["Buckets"])

    with pytest.raises(JobError, match="`n_workers` is 0"):
        run_job(stack, settings, n_workers=0, data="synthetic:rows=77,features=7")

    assert before == len(clients.s3.list_buckets()["Buckets"])


def test_a_run_id_is_used_once(stack, settings):
    """A second run of the same name is refused, and the first one's results stay."""
    first = run_job(stack, settings, n_workers=1, run_id="only-once")

    with pytest.raises(HarnessError, match="`run_id` is 'only-once'"):
        run_job(stack, settings, n_workers=1, run_id="only-once", seed=9)

    folder = RunFolder(clients_for(stack.endpoints).s3, RESULT_BUCKET, "only-once")
    assert first.loss == folder.read_json("result.json")["loss"]


def test_the_coordinator_serves_without_the_harness(stack, settings, clients):
    """Anyone may invoke `linear_ec_1`: it answers with the run and the place of its result."""
    summary = run_job(stack, settings, n_workers=2)
    event = {key: value for key, value in summary.job.items() if key not in {"run_id", "result_bucket"}}

    answer = json.load(clients.functions.invoke(FunctionName="linear_ec_1", Payload=json.dumps(event))["Payload"])

    assert 200 == answer["statusCode"]
    run_id = answer["body"]["run_id"]
    assert f"s3://{event['data_bucket']}/runs/{run_id}/result.json" == answer["body"]["result"]


def test_a_wrong_event_is_a_function_error(settings, clients, mode):
    """The coordinator refuses a wrong event by itself, with the field's name."""
    make_declared(clients.functions, "linear_ec_1", settings, mode, log=print)

    answer = clients.functions.invoke(FunctionName="linear_ec_1", Payload=b'{"n_workers": 0, "data_bucket": "abc"}')

    assert "Unhandled" == answer["FunctionError"]
    assert "n_workers" in json.load(answer["Payload"])["errorMessage"]
