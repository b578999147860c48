"""What a survivor does before it invokes a dead rank's event, and when it does not."""

import json
from io import BytesIO

import msgspec
import pytest
from botocore.awsrequest import AWSResponse

from training.data.manifest import Partition
from training.exchange.recovery.revival import MOST_REVIVALS, DeadRank
from training.job import WorkerJob, decode_worker_job
from training.run import invoking
from training.run.results import RunFolder
from training.run.reviving import PeerReviver, RevivalRecord
from training.run.telemetry import Telemetry

BUCKET = "bucket"
MD5 = [f"{rank}" * 32 for rank in range(3)]
MANIFEST = {"n_partitions": 3, "rows_per_partition": [10, 11, 12], "md5_per_partition": MD5}
DEAD = DeadRank(rank=2, link=1, revivals=0, stood_still_s=1.25, lease=b"\x95lease")
JOB = WorkerJob(
    data_bucket=BUCKET,
    data_prefix="data/",
    n_features=3,
    n_workers=3,
    host="h",
    run_id="run",
    worker_index=0,
    file="data/0_3",
    expected=Partition(10, MD5[0]),
)


@pytest.fixture
def folder(s3):
    """A run's folder, and partitions with a manifest."""
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="data/manifest.json", Body=json.dumps(MANIFEST).encode())
    return RunFolder(s3, BUCKET, "run")


@pytest.fixture
def invoked(monkeypatch):
    """The events that Lambda has accepted; they are answered on their way out, so nothing is invoked."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "linear_ec_2")
    invoking.lambda_client.cache_clear()
    events = []

    def answer(request, **_):
        assert "/functions/linear_ec_2/" in request.url
        events.append(json.loads(request.body))
        return AWSResponse(request.url, 202, {"x-amzn-RequestId": f"request {len(events)}"}, BytesIO())

    invoking.lambda_client().meta.events.register("before-send.lambda.Invoke", answer)
    yield events
    invoking.lambda_client.cache_clear()


def reviver(s3, folder, **job):
    """What rank 0 revives others with."""
    return PeerReviver(msgspec.structs.replace(JOB, **job), s3, folder, Telemetry("run", 0, 1, "own request"))


def printed(capsys):
    """The lines of its log."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_event_is_the_other_rank_s_own(s3, folder, invoked, capsys):
    """With its partition, rows and digest, and the lease that stood still; the record and the log say who and why."""
    assert 1 == reviver(s3, folder)(DEAD)

    (event,) = invoked
    job = decode_worker_job(event, "request 1")
    assert (2, "data/2_3", Partition(12, MD5[2])) == (job.rank, job.file, job.expected)
    assert (1, 1, DEAD.lease) == (job.link, job.revival, bytes.fromhex(job.stood_still))
    record = folder.read_as("revivals/2.1.1.json", RevivalRecord)
    assert (2, 0, "request 1") == (record.rank, record.by, record.request_id)
    (line,) = printed(capsys)
    assert ("revived", 0, 2, 1) == tuple(line[key] for key in ("event", "rank", "whom", "revival"))
    assert "request 1" == line["revived_request_id"]


def test_another_survivor_was_faster(s3, folder, invoked):
    """Its record counts, whether it was there before or comes at the same moment; the lease is watched for longer."""
    assert 1 == reviver(s3, folder, worker_index=1, file="data/1_3", expected=Partition(11, MD5[1]))(DEAD)

    assert 1 == reviver(s3, folder)(DEAD)
    assert 1 == len(invoked)


def test_revivals_are_counted_where_the_cache_s_loss_does_not_reset_it(s3, folder, invoked):
    """A rank that knows of one revival makes the second; each link has its own."""
    assert 1 == reviver(s3, folder)(DEAD)
    assert 2 == reviver(s3, folder)(DEAD._replace(revivals=1))
    assert 1 == reviver(s3, folder)(DEAD._replace(link=2))

    assert [1, 2, 1] == [event["revival"] for event in invoked]


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("aborted.json", {"cause": "stopped"}),
        ("failed/1.1.json", {"rank": 1, "kind": "InputError", "cause": "bad rows", "final": True, "time": 1.0}),
    ],
)
def test_a_final_cause_is_the_end(s3, folder, invoked, capsys, name, record):
    """Nobody is revived any more, and the log says why."""
    folder.write_json(name, record)

    assert MOST_REVIVALS == reviver(s3, folder)(DEAD)
    assert [] == invoked
    assert [("not_revived", True)] == [(line["event"], line["final"]) for line in printed(capsys)]


@pytest.mark.parametrize(
    ("job", "says"),
    [({"expected": Partition(10, "9" * 32)}, "no longer the manifest"), ({"file": "elsewhere"}, "no known name")],
)
def test_a_partition_that_cannot_be_known_is_left_to_lambda(s3, folder, invoked, capsys, job, says):
    """The data set was made again since the run began, or the worker was invoked by hand with a file of its own."""
    assert MOST_REVIVALS == reviver(s3, folder, **job)(DEAD)
    assert [] == invoked
    assert says in printed(capsys)[0]["cause"]


def test_a_failure_that_may_pass_is_tried_later(s3, folder, invoked, monkeypatch, capsys):
    """Lambda refuses: the survivor says so, and the next time counts as the second revival."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "nobodys")
    invoking.lambda_client.cache_clear()  # a client of moto's, which knows no such function

    assert 0 == reviver(s3, folder)(DEAD)
    assert [("not_revived", False)] == [(line["event"], line["final"]) for line in printed(capsys)]
    assert 1 == reviver(s3, folder)(DEAD)
    assert [] == invoked
