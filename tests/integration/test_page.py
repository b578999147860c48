"""The page's server beside a stack: its state, its events, invocations by the page, metrics, its start and its end."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness.aws.clients import clients_for
from harness.page import server as module
from harness.page.address import load_address
from harness.page.board import PageBoard
from harness.page.opening import end_server, ensure_server, open_page, running_server
from harness.settings import load_settings
from harness.stack.folders import open_state_dir
from harness.stack.state import state_file
from harness.system import records
from harness.system.probes import wait_until
from harness.system.process_life import is_alive
from tests.support.functions import ROLE, code_arguments

HARNESS = Path(sys.executable).with_name("harness")
WITHIN_S = 60
JOB = ("--data", "synthetic:rows=400,features=8", "--n-workers", "2", "--n-epochs", "3")


@pytest.fixture(scope="module")
def project(stack, mode, tmp_path_factory):
    """A project whose stack is that of the session."""
    if mode == "container":
        pytest.skip("the page sees the same gateway in either mode")
    root = tmp_path_factory.mktemp("page")
    (root / "harness.toml").write_text('[stack]\ns3 = "moto"\n', encoding="utf-8")
    settings = load_settings(root)
    open_state_dir(settings.state_dir)
    records.save(stack, state_file(settings.state_dir))
    yield settings
    end_server(settings)


@pytest.fixture
def page(project):
    """A client that has the token of the page's server, which runs."""
    with client_of(ensure_server(project)) as client:
        yield client


def client_of(address):
    """A client with the page's token."""
    return httpx.Client(
        base_url=f"http://127.0.0.1:{address.port}",
        headers={"Authorization": f"Bearer {address.token}"},
        timeout=WITHIN_S,
        trust_env=False,
    )


@pytest.fixture(scope="module")
def function(stack):
    """A function that answers with its event."""
    client, name = clients_for(stack.endpoints).functions, f"page-{uuid.uuid4().hex[:8]}"
    client.create_function(
        FunctionName=name, Role=ROLE, Timeout=30, MemorySize=256, **code_arguments("print_lines", None)
    )
    yield name
    client.delete_function(FunctionName=name)


@contextmanager
def events_of(page):
    """The stream of events, each as its name and its data."""
    with page.stream("GET", "/api/events") as answer:
        yield parsed(answer.iter_lines())


def parsed(lines):
    """Yield the events of a stream."""
    name = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def until(events, name, holds):
    """Return the first data of an event of this name for which this holds."""
    return next(data for kind, data in events if kind == name and holds(data))


def call(page, address, **call):
    """Invoke a function as the page does."""
    return page.post("/api/invoke", json=call, headers={"X-Page-Token": address.post_token})


def test_an_invocation_by_the_page_is_seen_at_once(page, project, function):
    """In the stream with its end and its lines, in the list, whole by its number, in the counts and in the metrics."""
    address = running_server(project)

    def is_ended(record):
        return (record["function"], record["state"]) == (function, "succeeded")

    with events_of(page) as events:
        kind, hello = next(events)
        state = until(events, "state", lambda data: any(one["name"] == function for one in data["functions"]))
        answered = call(page, address, function=function, payload={"lines": ["a line <b>of</b> its own"]})
        ended = until(events, "invocations", lambda data: any(is_ended(one) for one in data))
    record = next(one for one in ended if is_ended(one))
    whole = page.get(f"/api/invocations/{record['number']}").json()
    logged = page.get("/api/log", params={"request_id": record["request_id"]}).json()
    listed = [one["number"] for one in page.get("/api/invocations").json()]
    families = {one.name: one for one in text_string_to_metric_families(page.get("/metrics").text)}

    assert ("hello", ["server"]) == (kind, list(hello))
    assert state["stack"]["up"]
    assert all(service["healthy"] for service in state["stack"]["services"])
    assert (200, record["request_id"]) == (answered.json()["status"], answered.json()["request_id"])
    assert record["cold"]
    assert {"lines": ["a line <b>of</b> its own"]} == json.loads(whole["payload"])
    assert "a line <b>of</b> its own" in [one["text"] for one in logged]
    assert record["number"] in listed
    assert 1 == families["harness_stack_up"].samples[0].value
    (count,) = [
        sample.value
        for sample in families["harness_duration_seconds"].samples
        if sample.name.endswith("_count") and sample.labels == {"function": function}
    ]
    assert 1 == count


def test_an_event_is_queued(page, project, function):
    """Whoever sends one gets its request id; its record says what it is."""
    answer = call(page, running_server(project), function=function, payload={"lines": []}, kind="event").json()

    assert 202 == answer["status"]
    assert wait_until(
        lambda: (
            ("event", "succeeded")
            in [
                (one["kind"], one["state"])
                for one in page.get("/api/invocations").json()
                if one["request_id"] == answer["request_id"]
            ]
        ),
        WITHIN_S,
    )


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/runs/nothing", 404, "there is no run nothing"),
        ("/api/runs/nothing/log", 404, "there is no run nothing"),
        ("/api/runs/x?from=a", 400, "`from` must be a number of seconds, not 'a'"),
        ("/api/runs/x?from=2&to=1", 400, "`from` must be less than `to`"),
        ("/api/runs/x/log?since=nan", 400, "`since` must be a number of seconds"),
        ("/api/runs/x/log?rank=one", 400, "`rank` must be a number or `coordinator`, not 'one'"),
        ("/api/invocations/123456", 404, "invocation 123456 is not kept any more"),
        ("/api/runs/..%2f..%2fpage.json", 404, ""),
        (f"/api/runs/{'x' * 300}", 404, f"there is no run {'x' * 100}"),
    ],
)
def test_what_is_not_there_is_said(page, path, status, words):
    """In one line of plain text."""
    answer = page.get(path)

    assert status == answer.status_code
    assert words in answer.text


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        '{"function": "f", "payload": 1, "kind": "both"}',
        '{"function": "", "payload": 1}',
        json.dumps({"function": "f" * 100_000, "payload": 1}),
        "[" * 100_000,
    ],
)
def test_a_malformed_call_is_refused(page, project, body):
    """The line says what is wrong."""
    headers = {"X-Page-Token": running_server(project).post_token}
    answer = page.post("/api/invoke", content=body, headers=headers)

    assert 400 == answer.status_code
    assert answer.text.startswith("this is no invocation: ")


def test_a_run_is_seen_while_it_runs_and_afterwards(page, project):
    """`--open` prints the page's address; the run is in the stream, in the list, and has its view and its log."""
    # Other tests may have had runs on the session's stack.
    run_id = f"seen-{uuid.uuid4().hex[:8]}"

    def is_kept_in(state):
        return any(one["kept"] for one in state["runs"] if one["run_id"] == run_id)

    with events_of(page) as events:
        next(events)
        ran = subprocess.run(
            [HARNESS, "run", "--open", *JOB, "--run-id", run_id, "--save-event", "event.json"],
            cwd=project.root,
            capture_output=True,
            text=True,
            check=False,
            env={
                name: value
                for name, value in os.environ.items()
                if name not in ("DISPLAY", "BROWSER", "WAYLAND_DISPLAY")
            },
        )
        assert 0 == ran.returncode, ran.stderr
        seen = []
        while not (seen and seen[-1][0] == "state" and is_kept_in(seen[-1][1])):
            seen.append(next(events))
    (kept,) = [one for one in seen[-1][1]["runs"] if one["run_id"] == run_id]
    lines = [line for kind, data in seen if kind == "log" for line in data]
    view = page.get(f"/api/runs/{run_id}").json()
    closely = page.get(f"/api/runs/{run_id}", params={"from": 0, "to": view["seconds"]}).json()
    of_rank = page.get(f"/api/runs/{run_id}/log", params={"rank": 1, "text": "FINISHED"}).json()
    coordinators = page.get(f"/api/runs/{run_id}/log", params={"rank": "coordinator"}).json()
    mistyped = page.get(f"/api/runs/{run_id[:-1]}")

    assert f"page: {running_server(project).url}" in ran.stderr
    assert ("succeeded", 2, 3) == (view["status"], len(view["ranks"]), len(view["epochs"]))
    assert run_id == closely["run_id"]
    assert run_id in [data["run_id"] for kind, data in seen if kind == "run"]
    assert ("succeeded", 2) == (kept["status"], kept["n_workers"])
    assert {run_id} == {line["run_id"] for line in lines if line["rank"] == 1}
    assert [1] == [one["rank"] for one in of_rank]
    assert any(one["text"].startswith("REPORT") for one in coordinators)
    assert (404, f"there is no run {run_id[:-1]}; did you mean {run_id}?") == (mistyped.status_code, mistyped.text)

    # The same job once more, invoked by hand: nobody keeps it, and its records are read from S3.
    event = {**json.loads((project.root / "event.json").read_text()), "run_id": "by-hand"}
    answer = call(page, running_server(project), function="linear_ec_1", payload=event).json()
    assert ("by-hand", None) == (json.loads(answer["answer"])["body"]["run_id"], answer["function_error"])

    def by_hand():
        found = page.get("/api/runs/by-hand")
        return found.json() if found.status_code == 200 else {"status": "unknown"}

    assert wait_until(lambda: by_hand()["status"] == "succeeded", WITHIN_S)
    view = by_hand()
    assert ([], 2, 3) == (view["gaps"], view["job"]["n_workers"], len(view["epochs"]))


def test_a_stack_that_is_gone_and_comes_back(page, project, function):
    """The page says that none is up, keeps what it saw, and follows the next one; calls are refused in between."""
    address = running_server(project)
    assert wait_until(lambda: page.get("/api/state").json()["stack"] is not None, WITHIN_S)
    call(page, address, function=function, payload={"lines": []})
    assert wait_until(lambda: function in [one["function"] for one in page.get("/api/invocations").json()], WITHIN_S)
    state_file(project.state_dir).rename(project.root / "aside")
    assert wait_until(lambda: page.get("/api/state").json()["stack"] is None, WITHIN_S)
    refused = call(page, address, function=function, payload={})
    before = page.get("/api/invocations").json()
    (project.root / "aside").rename(state_file(project.state_dir))
    assert wait_until(lambda: page.get("/api/state").json()["stack"] is not None, WITHIN_S)
    call(page, address, function=function, payload={"lines": []})

    assert (409, "no stack is up: `harness up` starts one") == (refused.status_code, refused.text)
    assert any(one["function"] == function for one in before)
    assert wait_until(lambda: len(page.get("/api/invocations").json()) > len(before), WITHIN_S)


def test_a_server_that_starts_again_has_the_same_address(project, capsys, monkeypatch):
    """Port and token stay, so that a browser that is open finds it; its hello says that it is another one."""
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):  # a developer's own browser would be a visitor
        monkeypatch.delenv(name, raising=False)
    first = ensure_server(project)
    with client_of(first) as client, events_of(client) as events:
        hello = next(events)
    os.kill(first.pid, signal.SIGKILL)
    assert wait_until(lambda: running_server(project) is None, WITHIN_S)
    second = open_page(project, print)
    with client_of(first) as client, events_of(client) as events:
        other = next(events)

    assert (first.url, True) == (second.url, first.pid != second.pid)
    assert hello[1] != other[1]
    assert f"page: {first.url}\n" == capsys.readouterr().out
    assert ensure_server(project) == second
    assert 0o600 == (project.state_dir / "page.json").stat().st_mode & 0o777


def test_it_ends_on_request_unless_a_browser_is_there(project):
    """Nothing is left behind but the record of its address; `harness down` asks so."""
    address = ensure_server(project)
    identity = address.server
    with client_of(address) as client, events_of(client) as events:
        next(events)
        assert end_server(project) is False
        assert is_alive(identity)
    assert wait_until(lambda: end_server(project) is True, WITHIN_S)
    assert not is_alive(identity)
    assert end_server(project) is None
    assert address.token == load_address(project.state_dir).token


@pytest.mark.parametrize("why", ["nobody needs it", "its record is gone"])
def test_in_the_background_it_ends_by_itself(tmp_path, monkeypatch, why):
    """Without a stack and without a browser, or when the project was removed. It needs no `.harness` to begin with."""
    settings = load_settings(tmp_path)
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(module, "IDLE_FOR_S", 0.05 if why == "nobody needs it" else 1e9)
    ready = []

    def begun(address):
        ready.append(address)
        if why == "its record is gone":
            (settings.state_dir / "page.json").unlink()

    module.serve_page(settings, background=True, ready=begun)

    left = load_address(settings.state_dir)
    assert (None if why == "its record is gone" else 0) == (left and left.pid)
    assert 1 == len(ready)


def test_the_states_of_an_empty_project(tmp_path):
    """No stack, no functions, no runs: a page of an empty project says so."""
    state = asyncio.run(PageBoard(load_settings(tmp_path)).state())

    assert (None, [], []) == (state.stack, state.functions, state.runs)
