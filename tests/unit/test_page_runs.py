"""What the page's server makes of a feed: which run a line belongs to, what browsers get, how runs differ."""

import asyncio
import json
from types import SimpleNamespace

import msgspec
import pytest

from harness.gateway.attempts import InvocationRecord
from harness.gateway.feed import FeedSkipped
from harness.history.records import RUN, KeptRecord
from harness.page import board as board_module
from harness.page.board import PageBoard
from harness.page.follower import StackFollower
from harness.page.kept import ListedRun, RunLine, with_differences
from harness.page.live_runs import MOST_UNCLAIMED, LiveRuns, PageLine
from harness.page.visitors import MOST_LINES, Visitors
from harness.settings import load_settings
from harness.system.process_life import own_identity


def line(text, request_id="w1", at=1.0):
    """A line that nobody has ascribed to a run."""
    return PageLine(at, "linear_ec_2", request_id, None, None, text)


def named(run_id="a-run", rank=1, **more):
    """A line of a worker, as text."""
    return json.dumps({"event": "started", "run_id": run_id, "rank": rank, "attempt": 1, "request_id": "w1", **more})


def test_what_was_printed_before_the_run_was_named_is_the_runs():
    """Lines and records of an invocation wait until one of its lines names the run."""
    runs, early = LiveRuns(), line("START RequestId: w1")
    run = runs.begin("a-run", 0.0, "c", "a-bucket", {})
    record = InvocationRecord(number=7, function="linear_ec_2", request_id="w1")

    assert runs.add_line(early) is None
    assert runs.add_invocation(record) is None
    assert run is runs.add_line(line(named()))
    assert run is runs.add_line(line("REPORT RequestId: w1"))
    assert [("a-run", 1)] * 3 == [(one.run_id, one.rank) for one in run.lines]
    assert early is run.lines[0]
    assert [7] == list(run.records)


def test_the_next_link_of_a_chain_belongs_to_the_same_rank():
    """A worker names the invocation that goes on after it."""
    runs = LiveRuns()
    runs.add_line(line(named(event="handed_on", next_request_id="w2")))
    next_one = line("START RequestId: w2", "w2")
    runs.add_line(next_one)

    assert ("a-run", 1) == (next_one.run_id, next_one.rank)


@pytest.mark.parametrize(
    "text",
    [
        '{"run_id": ',
        '{"run_id": 7, "rank": 1}',
        '{"run_id": "a-run", "rank": "<script>"}',
        '["run_id"]',
        "{" + '"run_id":[' * 5_000,
        '{"run_id": "\udcff", "rank": 1}',
    ],
)
def test_a_hostile_line_is_nobodys(text):
    """A function may print anything; the line stays a line of its invocation."""
    runs = LiveRuns()

    assert runs.add_line(line(text)) is None
    assert {} == runs.runs


def test_another_runs_name_does_not_move_an_invocation():
    """An invocation works for one run, whatever it prints afterwards."""
    runs = LiveRuns()
    first = runs.add_line(line(named("first")))

    assert first is runs.add_line(line(named("second")))
    assert 2 == len(first.lines)


def test_lines_that_no_run_claims_are_bounded():
    """The oldest invocation's go first."""
    runs = LiveRuns()
    for number in range(MOST_UNCLAIMED + 10):
        runs.add_line(line("anything", f"r{number}"))
    runs.claim(runs.begin("a-run", 0.0, "c", "", {}), "r0", 0)
    runs.claim(runs.runs["a-run"], f"r{MOST_UNCLAIMED}", 1)

    assert [f"r{MOST_UNCLAIMED}"] == [one.request_id for one in runs.runs["a-run"].lines]


def test_a_run_whose_stack_has_gone_is_unfinished():
    """It shows what was seen, and says why there is no more."""
    runs = LiveRuns()
    run = runs.add_line(line(named()))
    running = asyncio.run(run.view())
    runs.end()
    view = asyncio.run(run.view())

    assert ("running", "unfinished") == (running.status, view.status)
    assert "its stack ended before it did" == view.cause
    assert not run.in_progress


def test_a_browser_gets_the_newest_of_everything():
    """A record that changes twice between two messages comes once; lines beyond the limit are the oldest."""

    async def follow():
        visitors = Visitors()
        visitor = visitors.enter()
        stream = visitor.events({"server": "a"})
        first = await anext(stream)
        for state in ("queued", "running"):
            visitor.put_invocations([InvocationRecord(number=1, function="f", request_id="x", state=state)])
        visitor.put_lines([line(str(number)) for number in range(MOST_LINES + 1)])
        visitor.put_run("a-run")
        visitor.put_run("a-run")
        visitor.put_state(b"{}")
        news = await anext(stream)
        visitors.end()
        rest = [one async for one in stream]
        visitors.leave(visitor)
        return first, news, rest, bool(visitors)

    first, news, rest, staying = asyncio.run(follow())
    events = [tuple(part.split("\n")) for part in news.decode().strip().split("\n\n")]
    data = {kind.removeprefix("event: "): json.loads(text.removeprefix("data: ")) for kind, text in events}

    assert b'retry: 1000\n\nevent: hello\ndata: {"server":"a"}\n\n' == first
    assert ["state", "invocations", "run", "log"] == [kind.removeprefix("event: ") for kind, _ in events]
    assert ["running"] == [one["state"] for one in data["invocations"]]
    assert {"run_id": "a-run"} == data["run"]
    assert ("1", MOST_LINES) == (data["log"][0]["text"], len(data["log"]))
    assert ([], False) == (rest, staying)


def test_runs_are_told_apart_by_what_differs():
    """Keys that are the same everywhere, that say where data are, or that others do not know are left out."""
    jobs = [
        {"lr": 0.1, "model": "lr", "data_bucket": "a"},
        {"lr": 0.2, "model": "lr", "data_bucket": "b", "momentum": 0.9},
        {},
    ]
    runs = [
        ListedRun(RunLine(run_id=str(number), status="succeeded", started_at=0.0, seconds=1.0), job)
        for number, job in enumerate(jobs)
    ]

    assert [{"lr": 0.1}, {"lr": 0.2}, {}] == [run.differs for run in with_differences(runs)]


def test_a_kept_run_takes_no_memory_of_a_server_without_a_browser(tmp_path, monkeypatch):
    """What was seen of a run is dropped once it is kept, though nobody looks: the server may run for days."""
    runs = LiveRuns()

    class Follower:
        """Follows a stack on which nothing happens any more."""

        def __init__(self, *_arguments):
            self.runs = runs

        async def follow(self):
            await asyncio.Event().wait()

    monkeypatch.setattr(board_module, "live_stacks", lambda _state_dir: [SimpleNamespace(directory=tmp_path)])
    monkeypatch.setattr(board_module, "StackFollower", Follower)
    board = PageBoard(load_settings(tmp_path))
    run = runs.add_line(line(named()))
    (board.root / "a-run").mkdir(parents=True)

    async def look():
        watching = asyncio.create_task(board.keep_watch())
        await asyncio.sleep(0)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        return len(run.lines)

    before = asyncio.run(look())
    record = KeptRecord(run_id="a-run", status="succeeded", started_at=0.0)
    (board.root / "a-run" / RUN).write_bytes(msgspec.json.encode(record))

    assert (1, 0) == (before, asyncio.run(look()))


def test_ends_that_the_feed_skipped_are_asked_for():
    """A page that was too slow for the feed does not show an invocation as running for ever."""

    def record(**changes):
        return InvocationRecord(number=1, function="f", request_id="x", **changes)

    class Gateway:
        """A gateway whose feed skips the end of an invocation."""

        def __init__(self):
            self.caught_up, self.kept = asyncio.Event(), []

        async def feed(self):
            yield None
            await self.caught_up.wait()
            yield record(state="running")
            self.kept = [record(state="succeeded", ended_at=2.0)]
            yield FeedSkipped(1)
            await asyncio.Event().wait()

        async def invocations(self):
            self.caught_up.set()
            return self.kept

        async def close(self):
            pass

    async def follow():
        ended = asyncio.Event()
        news = SimpleNamespace(take_invocations=lambda records: records[0].ended and ended.set())
        stack = SimpleNamespace(
            supervisor=own_identity(), endpoints=SimpleNamespace(lambda_="http://x", access_key="k")
        )
        follower = StackFollower(stack, 0, news)
        await follower.gateway.close()
        follower.gateway = Gateway()
        following = asyncio.create_task(follower.follow())
        await asyncio.wait_for(ended.wait(), 30)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        return follower.records[1].state

    assert "succeeded" == asyncio.run(follow())
