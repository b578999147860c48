"""Following a run by its log and its folder."""

import json
import re

import msgspec
import pytest

from harness.errors import HarnessError
from harness.runs.follow import follow
from harness.runs.log_tail import LOCAL_POLLING
from harness.runs.progress import waits
from training.errors import InputError

RUN, RETRIES = "r1", 2
REQUESTS = [f"00000000-0000-0000-0000-00000000000{rank}" for rank in (0, 1)]


class Story:
    """A run's log and folder, look by look: in each the lines that are new and the objects that there are then."""

    polling = LOCAL_POLLING
    run_id = RUN

    def __init__(self, *looks):
        self._looks, self._records = list(looks), {}

    def lines(self):
        """The next look's lines, with their times."""
        lines, self._records = self._looks.pop(0) if self._looks else ([], self._records)
        return [(0, line if isinstance(line, str) else json.dumps(line)) for line in lines]

    def names(self, _folder):
        """The objects that there are now."""
        return sorted(self._records)

    def read_json(self, name):
        """One of them."""
        return self._records[name]

    def read_as(self, name, kind):
        """One of them, as such a record."""
        try:
            return msgspec.convert(self._records[name], kind)
        except msgspec.ValidationError as error:
            raise InputError(f"{name}: {error}") from error

    def location(self, name):
        """Its address."""
        return f"s3://bucket/runs/{RUN}/{name}"


def line(rank, event, **more):
    """A worker's line."""
    return {"run_id": RUN, "rank": rank, "request_id": REQUESTS[rank], "event": event, **more}


def failure(rank, *, final, kind="StorageError"):
    """The record of a rank's failure."""
    return {"rank": rank, "kind": kind, "cause": f"cause {rank}", "final": final, "time": float(rank)}


def failed(rank):
    """The line of it."""
    return line(rank, "failed", cause=f"cause {rank}")


def follow_it(*looks, retries=RETRIES, revive=False):
    """Follows a run of two ranks that goes so."""
    story = Story(*looks)
    return follow(
        story,
        story,
        REQUESTS,
        retries=retries,
        oom_is_final=True,
        patience_s=2.0,
        watch=lambda _: None,
        service_answers=lambda: True,
        revive=revive,
    )


def test_whom_a_run_waits_for_is_told_by_name():
    """Ranks that have not started, those that Lambda tries again, and what a rank says that it waits for."""
    told: list[str] = []
    records = {"failed/0.1.json": failure(0, final=False)}
    silent = "Memcached at 127.0.0.1:11211: no answer within 3 s"
    story = Story(
        ([line(1, "started"), failed(0)], records),
        ([line(1, "waiting", waits_for=silent)], records),
        ([line(0, "started"), line(1, "progress", round=3, rounds=9, loss=0.5, rows_per_s=1.0)], records),
        ([line(0, "finished"), line(1, "finished"), *REPORTS], {**records, **RESULTS}),
    )

    follow(
        story,
        story,
        REQUESTS,
        retries=RETRIES,
        oom_is_final=True,
        patience_s=2.0,
        watch=lambda progress: told.append(waits(progress)),
        service_answers=lambda: True,
        retry_delays_s=(52.0, 120.0),
    )

    assert told[0] == "rank 0, 1 to start"
    assert re.fullmatch(r"Lambda's next try of rank 0 \(in about [45]\d s\)", told[1])
    assert told[2].endswith(f" s); {silent} (awaited by rank 1)")
    assert told[3] == ""


RESULTS: dict[str, dict[str, str]] = {"result.json": {}, "workers/0.2.json": {}, "workers/1.2.json": {}}
REPORTS = [
    f"REPORT RequestId: {request}\tDuration: 9.5 ms\tBilled Duration: 10 ms\tMemory Size: 128 MB\t"
    "Max Memory Used: 60 MB"
    for request in REQUESTS
]


def test_a_rank_that_failed_for_now_is_tried_again_by_lambda():
    """The other one waits for it."""
    records = {"failed/0.1.json": failure(0, final=False)}

    progress = follow_it(
        ([line(1, "started"), failed(0)], records),
        ([line(0, "started")], records),
        ([line(0, "finished"), line(1, "finished"), *REPORTS], {**records, **RESULTS}),
    )

    assert [1, 0] == [rank.failures for rank in progress.ranks]
    assert ["finished", "finished"] == [rank.state for rank in progress.ranks]


def test_ranks_that_have_all_failed_are_told_at_once():
    """What keeps all of them from working will hardly be better in a minute."""
    records = {f"failed/{rank}.1.json": failure(rank, final=False) for rank in (0, 1)}

    with pytest.raises(HarnessError, match="worker 0 failed: cause 0"):
        follow_it(([failed(0), failed(1)], records))


@pytest.mark.parametrize(
    ("name", "record"),
    [("failed/0.1.json", "text"), ("failed/0.1.json", {"rank": 0}), ("failed/0.1.json", []), ("failed/a/../b", {})],
)
def test_what_no_worker_wrote_is_skipped_and_told(name, record):
    """Anybody who may write to the bucket may put an object there; it neither fails the run nor hides in it."""
    records = {name: record}

    progress = follow_it(
        ([line(0, "started"), line(1, "started"), failed(0)], records),
        ([line(0, "started")], records),
        ([line(0, "finished"), line(1, "finished"), *REPORTS], {**records, **RESULTS, "workers/x.json": "?"}),
    )

    assert [event["event"] for event in progress.events] == ["skipped"]
    assert name in progress.events[0]["note"]


def test_a_final_failure_ends_the_run_with_its_cause_and_not_with_what_followed():
    """A rank that was told to stop, or that waited in vain, is not the cause."""
    records = {
        "failed/0.1.json": failure(0, final=True, kind="RunAborted"),
        "failed/1.1.json": failure(1, final=True, kind="InputError"),
    }

    with pytest.raises(HarnessError, match="worker 1 failed: cause 1"):
        follow_it(([failed(0), failed(1)], records))


def test_a_rank_that_fails_at_every_try_ends_the_run():
    """After Lambda's last one nobody tries again."""
    records = {"failed/0.1.json": failure(0, final=False)}

    with pytest.raises(HarnessError, match="worker 0 failed, 3 times: cause 0"):
        follow_it(*[([failed(0), *REPORTS], records)] * (RETRIES + 1))


DIED = f"RequestId: {REQUESTS[1]} Error: Runtime.ExitError"
AGAIN = "00000000-0000-0000-0000-0000000000ff"


def revived(number=1):
    """Rank 0 says that it has invoked rank 1's event."""
    return line(0, "revived", whom=1, link=1, revival=number, stood_still_s=1.25, revived_request_id=AGAIN)


def test_a_rank_that_its_peers_revive_is_not_lost():
    """Lambda has no retries left, and yet the run goes on; the events tell who revived whom, and after how long."""
    own = {**line(1, "started"), "request_id": AGAIN}
    report = REPORTS[0].replace(REQUESTS[0], AGAIN)

    progress = follow_it(
        ([line(0, "started"), line(1, "started"), DIED], {}),
        ([], {}),
        ([revived()], {}),
        ([own], {}),
        ([line(0, "finished"), {**own, "event": "finished"}, *REPORTS, report], RESULTS),
        retries=0,
        revive=True,
    )

    (event,) = [event for event in progress.events if event["event"] == "revived"]
    assert (1, 0, 1, 1.25) == tuple(event[key] for key in ("rank", "by", "revival", "stood_still_s"))
    assert "by rank 0: no heartbeat for 1.25 s" == event["note"]
    assert 1 == progress.requests[AGAIN]
    assert "finished" == progress.ranks[1].state


@pytest.mark.parametrize(
    ("lines", "revive"),
    [
        ([DIED], False),
        # The last revival died as well.
        ([DIED, revived(3), DIED.replace(REQUESTS[1], AGAIN)], True),
        # All of Lambda's other tries found the rank at work, and left.
        ([DIED, revived(3), line(1, "superfluous"), DIED.replace(REQUESTS[1], AGAIN)], True),
        # A peer says that it must not be revived.
        ([line(0, "not_revived", whom=1, cause="the manifest is another one", final=True), DIED], True),
        # Nobody is left to revive it.
        ([failed(0), DIED], True),
    ],
)
def test_a_rank_whose_event_nobody_invokes_any_more_ends_the_run(lines, revive):
    """Lambda has used up its retries, and so have the peers, or they may not."""
    with pytest.raises(HarnessError, match=r"worker (1 died|0 failed)"):
        follow_it(([line(0, "started"), line(1, "started"), *lines], {}), retries=0, revive=revive)
