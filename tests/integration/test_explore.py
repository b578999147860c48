# ruff: noqa: ARG001 - handlers are written as users write theirs
"""Explorations end to end: what is found, what cannot be explored, and how a finding is replayed."""

import json
import random
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from harness.errors import HarnessError
from harness.explore.exploring import ExploredFunction, explore, play_one
from harness.explore.prepare_file import preparation_of
from harness.explore.schedule import Blow, Schedule, Strike
from harness.settings import Settings

WITHIN_S = 300
BUCKET = "inbox"

pytestmark = pytest.mark.timeout(WITHIN_S)


@pytest.fixture(autouse=True)
def _processes_only(mode: str) -> None:
    if mode != "process":
        pytest.skip("explorations have a stack of their own, of processes")


def prepare(client: Callable[[str], Any]) -> None:
    """Make a bucket with a number."""
    client("s3").create_bucket(Bucket=BUCKET)
    client("s3").put_object(Bucket=BUCKET, Key="total", Body=b"1")


def add(event, context):
    """Read, change and write; runs in Lambda."""
    s3 = boto3.client("s3")
    total = int(s3.get_object(Bucket="inbox", Key="total")["Body"].read())
    s3.put_object(Bucket="inbox", Key="total", Body=str(total + event["n"]))


def store(event, context):
    """Write under the event's own name; runs in Lambda."""
    boto3.client("s3").put_object(Bucket="inbox", Key=event["key"], Body=event["key"])


def wild(event, context):
    """Do what no exploration can compare, as the event says; runs in Lambda."""
    body = {"chance": str(random.random()), "id": str(uuid.uuid4())}.get(event["do"], "1")
    if "why" in event:
        raise ValueError(event["why"])
    if event["do"] == "fail":
        raise KeyError("order")
    if event["do"] != "nothing":
        boto3.client("s3").put_object(Bucket="inbox", Key="k", Body=body)
    if event["do"] == "connect":
        socket.create_connection(("127.0.0.1", event["port"])).close()


def three(client: Callable[[str], Any]) -> dict[str, int]:
    """Return the event, from what is there after `prepare`."""
    assert client("s3").get_object(Bucket=BUCKET, Key="total")["Body"].read() == b"1"
    return {"n": 3}


def function(settings: Settings, handler: Callable[..., object], event: object, **preparation: object):
    """What is explored, with the bucket."""
    given = preparation_of("a test", {"prepare": prepare, **preparation})
    return ExploredFunction(settings=settings, name="tried", event=event, source=handler, preparation=given)


def test_a_read_modify_write_is_found_with_its_simplest_schedule(settings: Settings):
    """All schedules that count twice are one finding."""
    found = explore(function(settings, add, {"n": 3}))

    (finding,) = found.findings
    (difference,) = finding.differences
    assert (difference.address, difference.undisturbed, difference.found) == ("s3://inbox/total", ("4",), ("7",))
    assert finding.schedule == Schedule(second="after")
    assert any("killed after call 2 (s3 PutObject" in other for other in finding.others)
    assert not any("killed before call" in other for other in finding.others)
    assert [(call.operation, call.delivery) for call in found.calls] == [("GetObject", 1), ("PutObject", 1)]
    assert found.cases == 15


def test_a_write_that_can_be_repeated_has_no_finding_and_replays_do_not_invent_one(settings: Settings):
    """The same state after whatever happens."""
    tried = function(settings, store, {"key": "a"})

    assert explore(tried).findings == ()
    assert play_one(tried, Schedule(strikes=(Strike(1, 1, 1, Blow.KILL_AFTER),))).findings == ()


def test_an_invariant_is_a_finding_of_its_own(settings: Settings):
    """Also where the states are not compared; it has to hold undisturbed."""

    def at_most(limit: int) -> Callable[[Callable[[str], Any]], None]:
        def invariant(client: Callable[[str], Any]) -> None:
            total = int(client("s3").get_object(Bucket=BUCKET, Key="total")["Body"].read())
            if total > limit:
                raise AssertionError(f"the total is {total}")

        return invariant

    (finding,) = play_one(
        function(settings, add, {"n": 3}, invariant=at_most(4), ignore=["*"]), Schedule(second="after")
    ).findings

    assert (finding.violation, finding.differences) == ("the total is 7", ())
    with pytest.raises(HarnessError, match=r"invariant does not hold after a run of tried .*\nthe total is 4"):
        play_one(function(settings, add, {"n": 3}, invariant=at_most(3)), Schedule())


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ({"do": "fail"}, r"tried fails without any fault.*\nraised: KeyError: 'order'"),
        ({"do": "fail", "why": "a\nb\nc"}, r"\nraised: ValueError: a b c\ncorrect the event"),
        ({"do": "nothing"}, "tried makes no call to AWS"),
        ({"do": "chance"}, r"tried is not deterministic: .* differ at s3://inbox/k\n\"?0\.\d+\"? and \"?0\.\d+"),
    ],
)
def test_what_cannot_be_explored_is_said(settings: Settings, event: object, says: str):
    """One error, before any case is tried."""
    with pytest.raises(HarnessError, match=says):
        play_one(function(settings, wild, event), Schedule())


def test_what_is_not_deterministic_can_be_ignored_or_normalised(settings: Settings):
    """Ids need no rule."""
    for given in ({"ignore": ["s3://inbox/k"]}, {"normalise": [(r"0\.\d+(e-\d+)?", "<chance>")]}):
        assert play_one(function(settings, wild, {"do": "chance"}, **given), Schedule()).findings == ()
    assert play_one(function(settings, wild, {"do": "id"}), Schedule()).findings == ()


def test_a_connection_past_the_proxy_is_refused_unless_it_is_allowed(settings: Settings):
    """Effects there are not seen."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        event = {"do": "connect", "port": port}

        with pytest.raises(HarnessError, match=rf"tried connects to 127\.0\.0\.1:{port}, past the proxy"):
            play_one(function(settings, wild, event), Schedule())
        assert play_one(function(settings, wild, event, outside=["127.0.0.1:*"]), Schedule()).findings == ()


def test_a_strike_that_never_comes_is_a_note(settings: Settings):
    """A replay of a function that has been changed."""
    found = play_one(function(settings, store, {"key": "a"}), Schedule(strikes=(Strike(1, 1, 9, Blow.ERROR),)))

    assert found.findings == ()
    assert any("call 9" in note for note in found.notes), found.notes


def test_the_command_stores_what_it_finds_and_replays_it(tmp_path: Path):
    """`--json`, the page, the exit codes, and a replay after the correction."""
    (tmp_path / "harness.toml").write_text("")
    wrong = (
        'import boto3\n\n\ndef handler(event, context):\n    boto3.client("sqs").send_message(QueueUrl=event["queue"], '
    )
    (tmp_path / "ship.py").write_text(wrong + 'MessageBody="ship")\n')
    (tmp_path / "prepare.py").write_text(
        "def prepare(client):\n"
        '    attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "false"}\n'
        '    client("sqs").create_queue(QueueName="plain")\n'
        '    client("sqs").create_queue(QueueName="once.fifo", Attributes=attributes)\n'
        "def event(client, event):\n"
        '    return {"queue": client("sqs").get_queue_url(QueueName=event["name"])["QueueUrl"]}\n'
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "harness", "explore", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=WITHIN_S)

    explored = run("ship.py", "--payload", '{"name": "plain"}', "--prepare", "prepare.py", "--json")
    found = json.loads(explored.stdout)
    assert (explored.returncode, found["function"], found["cases"], len(found["calls"])) == (1, "ship", 7, 1)
    (finding,) = found["findings"]
    assert finding["differences"] == [{"address": "sqs://plain", "undisturbed": ["ship"], "found": ["ship", "ship"]}]
    assert finding["file"] == ".harness/explore/ship-1.json"

    replayed = run("--replay", finding["file"])
    assert replayed.returncode == 1
    assert "1. ship: the event is delivered again" in replayed.stdout
    assert replayed.stdout.splitlines()[-1].startswith("ship: 1 finding in 1 case, 1 call to AWS")

    corrected = wrong + 'MessageBody="ship", MessageGroupId="g", MessageDeduplicationId=context.aws_request_id)\n'
    (tmp_path / "ship.py").write_text(corrected)
    again = run("ship.py", "--payload", '{"name": "once.fifo"}', "--prepare", "prepare.py")
    assert (again.returncode, again.stdout.split(",")[0]) == (0, "ship: no finding in 7 cases"), again.stderr
    assert list((tmp_path / ".harness" / "explore").glob("ship-*.json")) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "which function?"),
        (["missing"], "function missing is not declared"),
        (["store.py", "--payload", "{"], "the event is not JSON"),
        (["store.py", "--payload", "{}", "--event", "store.py"], "--event and --payload were both given"),
        (["store.py", "--prepare", "none.py"], "none.py is no Python file"),
        (["store.py", "--debug"], "--debug is for a replay"),
        (["store.py", "--debug-port", "5678"], "--debug-port was given without --debug"),
        (["store.py", "--overlaps", "-1"], "--overlaps is -1; allowed: 0 to 10000"),
        (["--replay", "none.json"], "--replay none.json cannot be read"),
        (["--replay", "store.py"], "--replay store.py is no schedule"),
        (["store.py", "--replay", "none.json"], "--replay names a file that says everything"),
    ],
)
def test_wrong_usage_is_named_before_anything_starts(tmp_path: Path, arguments: list[str], says: str):
    """In one error, with exit code 1 or click's 2."""
    (tmp_path / "harness.toml").write_text("")
    (tmp_path / "store.py").write_text("def handler(event, context):\n    pass\n")
    command = [sys.executable, "-m", "harness", "explore", *arguments]

    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=WITHIN_S)

    assert run.returncode in (1, 2)
    assert run.stdout == ""
    assert says in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / ".harness" / "stacks").exists()


def test_a_test_explores_a_function_of_its_module(lambda_stack):
    """The plug-in's method; its result as text are the pages."""
    found = lambda_stack.explore(add, {"n": 3}, prepare=prepare, timeout_s=5)

    (finding,) = found.findings
    assert finding.schedule == Schedule(second="after")
    assert "1. add: the event is delivered again" in str(found)
    assert "add: 1 finding in 15 cases" in str(found)
    again = lambda_stack.explore(add, three, prepare=prepare, schedule=finding.schedule)
    assert again.findings[0].differences == finding.differences
    with pytest.raises(HarnessError, match=r"ignore is 's3://\*'\nexplore\(\)"):
        lambda_stack.explore(add, {"n": 3}, prepare=prepare, ignore="s3://*")
    with pytest.raises(HarnessError, match="unknown key 'timeout'"):
        lambda_stack.explore(add, {"n": 3}, prepare=prepare, timeout=5)


@pytest.mark.parametrize(
    ("source", "wrong", "says"),
    [
        (add, {"overlaps": -1}, "`int` >= 0 - at `$.overlaps`"),
        (add, {"overlaps": "x"}, "got `str` - at `$.overlaps`"),
        (add, {"seed": "x"}, "got `str` - at `$.seed`"),
        (add, {"schedule": "after"}, "got `str` - at `$.schedule`"),
        (add, {"event": {1, 2}}, "the event is not JSON: Object of type set"),
        (add, {"event": {"n": float("nan")}}, "the event is not JSON: Out of range float"),
        (5, {}, "5 is no function\ngive the name of a function"),
        ("", {}, "'' is no function"),
    ],
)
def test_a_wrong_value_of_a_tests_exploration_is_named_before_anything_starts(lambda_stack, source, wrong, says):
    """Each with what would be right."""
    with pytest.raises(HarnessError) as refusal:
        lambda_stack.explore(source, **wrong)
    assert says in str(refusal.value)
