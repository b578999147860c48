"""The faulty network as clients see it: pymemcache in front of the proxy, a real memcached behind it."""

import asyncio
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
import uuid
from contextlib import closing, suppress
from urllib.parse import urlsplit

import boto3
import httpx
import numpy as np
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ResponseStreamingError
from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheError, MemcacheServerError

from harness.errors import HarnessError
from harness.faults import Plan, parse_fault
from harness.faults.board import Board
from harness.faults.injections import Injections
from harness.guard import HEALTH, authorization, session_key
from harness.network.cache_process import CacheProcess
from harness.network.discovery import Node
from harness.network.gateway_link import GatewayLink
from harness.network.memcached_proxy import MemcachedProxy
from harness.runs.faults import in_force, post_plan, read_events
from harness.stack import start_private_stack
from harness.stack.memcached import find_memcached, memcached_service
from harness.system.ports import ReservedPorts
from training.errors import FrameError
from training.exchange.frame import HEADER_BYTES, Frame, pack, unpack


class Network:
    """A proxy in a thread of its own, with a real memcached behind it."""

    def __init__(self) -> None:
        self._ports = ReservedPorts(["proxy", "cache"], {})
        self.port, cache_port = self._ports.numbers["proxy"], self._ports.numbers["cache"]
        command = memcached_service(find_memcached(), cache_port).command
        self.board = Board()
        self._cache = CacheProcess(Node("127.0.0.1", cache_port), command)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._call(self._start())

    async def _start(self) -> None:
        self._proxy = MemcachedProxy(
            Node("127.0.0.1", self.port), self._cache, self.board, GatewayLink("http://127.0.0.1:1", "no key")
        )
        await self._cache.start()
        await self._proxy.listener.open()

    async def _stop(self) -> None:
        self._proxy.listener.close()
        await self._cache.kill()
        await self._proxy.gateway.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    def _call(self, what):
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(20)

    def close(self) -> None:
        """Stop everything."""
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._ports.close()

    def plan(self, *faults):
        """Start a run with these faults; return its id and their outcomes."""
        run_id = uuid.uuid4().hex
        injections = Injections(Plan(tuple(map(parse_fault, faults))), n_workers=3)
        self.board.post(run_id, injections)
        return run_id, injections.events

    def client(self, timeout_s=5.0):
        """Return a client like the workers'."""
        return Client(("127.0.0.1", self.port), timeout=timeout_s, connect_timeout=1.0, default_noreply=False)


@pytest.fixture(scope="module")
def network():
    """Provide one proxy and one memcached for all tests of this module."""
    running = Network()
    yield running
    running.close()


@pytest.fixture
def client(network):
    """Provide a client, closed at the end, when this test's plan ends, too."""
    opened = network.client()
    yield opened
    opened.close()
    network.board.runs.clear()


def frame(run_id, rank=1, round_number=2, attempt=1, size=16):
    """Return a real frame with its key."""
    packed = b"".join(pack(Frame(run_id, rank, attempt, round_number, 0, 10, np.ones(size, np.float32))))
    return f"{run_id}/{round_number}/0/{rank}", packed


def test_without_a_plan_it_is_a_memcached(client):
    """Every command of pymemcache works, with large and awkward values."""
    values = {"a": bytes(range(256)) * 3000, "b": b"", "c": b"END\r\n", "d": b"VALUE x 0 9\r\n"}

    assert [] == client.set_many(values)
    assert values == client.get_many([*values, "absent"])
    assert client.get("absent") is None
    assert client.add("lease", b"1")
    assert not client.add("lease", b"2")
    _, token = client.gets("lease")
    assert client.cas("lease", b"3", token)
    assert not client.cas("lease", b"4", token)
    client.set("number", b"1")
    assert 3 == client.incr("number", 2)
    assert 2 == client.decr("number", 1)
    assert client.touch("lease", 60)
    assert client.append("lease", b"x")
    assert client.delete("lease")
    client.set("quiet", b"1", noreply=True)
    client.delete_many(["a", "quiet"], noreply=True)
    assert client.get("quiet") is None
    assert b"item_size_max" in client.stats("settings")
    assert client.version().startswith(b"1.")
    with pytest.raises(MemcacheServerError, match="too large"):
        client.set("large", bytes(2 << 20))
    assert b"END\r\n" == client.get("c")
    with socket.create_connection(("127.0.0.1", client.server[1])) as raw:
        raw.sendall(b"config get cluster\r\n")
        assert b"ERROR\r\n" == raw.recv(100)


def test_no_client_can_have_memcached_end(network, client):
    """In a container it takes the command `shutdown`, which is the proxy's own."""
    client.set("kept", b"1")
    with socket.create_connection(("127.0.0.1", network.port)) as raw:
        raw.sendall(b"shutdown\r\n")
        with suppress(ConnectionError):
            assert b"" == raw.recv(100)

    assert b"1" == client.get("kept")


def test_a_frame_is_corrupted_by_one_byte(network, client):
    """The frame keeps its length and fails its checksum; those of other ranks are intact."""
    run_id, events = network.plan("corrupt rank=1 round=2")
    (key, sent), (other, sent_too) = frame(run_id), frame(run_id, rank=2)

    client.set_many({key: sent, other: sent_too})

    got = client.get(key)
    assert len(sent) == len(got)
    assert 1 == sum(a != b for a, b in zip(sent, got, strict=True))
    with pytest.raises(FrameError, match="checksum"):
        unpack(
            got[:HEADER_BYTES], got[HEADER_BYTES:], run_id=run_id, rank=1, round_number=2, step=0, dtype=np.dtype("<f4")
        )
    assert sent_too == client.get(other)
    assert (1, 1, 2, 0, 1) == (events[0].times, events[0].rank, events[0].round, events[0].step, events[0].attempt)
    client.set(key, sent)
    assert sent == client.get(key)


def test_a_large_frame_is_corrupted_too(network, client):
    """A value that arrives in many chunks differs in one byte."""
    run_id, _ = network.plan("corrupt rank=1")
    key, sent = frame(run_id, size=200_000)

    client.set(key, sent)

    assert 1 == sum(a != b for a, b in zip(sent, client.get(key), strict=True))


def test_a_store_is_refused_as_when_memory_is_short(network, client):
    """Among the stores of one round trip only that one is refused, and the next attempt succeeds."""
    run_id, _ = network.plan("refuse rank=1 round=2 n=2")
    key, sent = frame(run_id)

    for _ in range(2):
        with pytest.raises(MemcacheServerError, match="out of memory storing object"):
            client.set_many({f"{run_id}/before": b"1", key: sent})
    assert client.set(key, sent)
    assert sent == client.get(key)


def test_frames_of_a_round_are_evicted(network, client):
    """A store is acknowledged, but the frame is gone; a republished frame stays."""
    run_id, events = network.plan("evict round=2")
    frames = dict(frame(run_id, rank) for rank in range(3)) | dict([frame(run_id, 0, 3)])

    assert [] == client.set_many(frames)

    assert [f"{run_id}/3/0/0"] == list(client.get_many(list(frames)))
    client.set_many(frames)
    assert frames == client.get_many(list(frames))
    assert 3 == events[0].times


def test_a_restarted_memcached_is_empty(network, client):
    """Connections break, then the same address serves an empty cache; the put that triggered this was not stored."""
    run_id, _ = network.plan("restart round=2")
    key, sent = frame(run_id)
    client.set("kept", b"before")

    with pytest.raises((OSError, MemcacheError)):
        client.set(key, sent)

    assert {} == until(lambda: client.get_many(["kept", key]))
    assert client.set(key, sent)


def test_a_cut_breaks_and_refuses(network, client):
    """Open connections are reset and new ones refused; afterwards, stored values are still there."""
    run_id, _ = network.plan("cut s=0.4 round=2")
    key, sent = frame(run_id)
    bystander = network.client()
    bystander.set("kept", b"before")
    started = time.monotonic()

    with pytest.raises(ConnectionError):
        client.set(key, sent)

    with pytest.raises(ConnectionError):
        bystander.get("kept")
    with pytest.raises(ConnectionRefusedError):
        bystander.get("kept")
    assert b"before" == until(lambda: bystander.get("kept"))
    assert 0.35 < time.monotonic() - started < 20
    bystander.close()


def test_a_blackhole_answers_nothing(network, client):
    """Connections are accepted, but nothing is answered; afterwards everything continues."""
    run_id, _ = network.plan("blackhole s=0.5 round=2")
    key, sent = frame(run_id)
    hasty = network.client(timeout_s=0.1)
    started = time.monotonic()

    with pytest.raises(TimeoutError):
        hasty.set(key, sent)
    with pytest.raises(TimeoutError):
        hasty.get("any")

    assert client.set("late", b"1")
    assert 0.4 < time.monotonic() - started < 20
    hasty.close()


def test_delays_are_where_they_are_wanted(network, client):
    """A delay with an address slows only that put; without one, every command."""
    run_id, _ = network.plan("delay ms=80 rank=1 round=2")
    key, sent = frame(run_id)
    other, _ = frame(run_id, rank=2)

    delayed = timed(lambda: client.set(key, sent))
    assert 0.08 <= delayed < 0.3
    assert timed(lambda: client.set(other, sent)) < delayed
    slow, _ = network.plan("delay ms=50")
    assert 0.05 <= timed(lambda: client.get(f"{slow}/1/0/0")) < 0.2
    delayed = timed(lambda: client.get("of-no-run"))
    assert 0.05 <= delayed < 0.2
    assert timed(lambda: client.get(key)) < delayed


def test_bandwidth_is_limited(network, client):
    """100 KB at 4 Mbit/s take 0.2 s in each direction."""
    run_id, _ = network.plan("bandwidth kbps=4000 round=2 s=1")
    key, sent = frame(run_id, size=25_000)

    assert 0.15 <= timed(lambda: client.set(key, sent)) < 0.5
    assert 0.15 <= timed(lambda: client.get(key)) < 0.5


def test_two_runs_do_not_share_a_limit(network, client):
    """Each run's connections have the bandwidth of its own plan."""
    narrow, _ = network.plan("bandwidth kbps=4000 round=2")
    wide, _ = network.plan("bandwidth kbps=80000 round=2")
    other = network.client()
    (narrow_key, sent), (wide_key, as_much) = frame(narrow, size=25_000), frame(wide, size=25_000)

    limited = timed(lambda: client.set(narrow_key, sent))
    assert 0.15 <= limited < 0.5
    assert timed(lambda: other.set(wide_key, as_much)) < limited
    assert 0.15 <= timed(lambda: client.get(narrow_key)) < 0.5
    other.close()


def test_a_limit_without_an_end_ends_with_its_run(network, client):
    """The next run on the stack has the full bandwidth."""
    run_id, _ = network.plan("bandwidth kbps=4000 round=2")
    key, sent = frame(run_id, size=25_000)
    assert 0.15 <= timed(lambda: client.set(key, sent)) < 0.5

    network.board.lift(run_id)

    assert timed(lambda: client.get(key)) < 0.1


def test_replies_arrive_in_slices(network, client):
    """Each read finds one slice, and the reply is whole in the end."""
    run_id, _ = network.plan("slice bytes=100 delay_us=20000 round=2")
    key, sent = frame(run_id)
    client.set(key, sent)
    client.set(f"{run_id}/large", bytes(range(200)) * 5)
    started = time.monotonic()

    with socket.create_connection(("127.0.0.1", network.port)) as raw:
        raw.sendall(f"get {run_id}/large\r\n".encode())
        read = [raw.recv(65_536)]
        while not read[-1].endswith(b"END\r\n"):
            read.append(raw.recv(65_536))

    assert len(read) > 1
    assert 0 == len(read[0]) % 100  # a busy reader may find two at once
    assert bytes(range(200)) * 5 in b"".join(read)
    assert time.monotonic() - started >= 10 * 0.02


def test_a_connection_carries_so_many_bytes_and_is_closed(network, client):
    """It ends in order in the middle of a reply; the next one carries as much again."""
    run_id, _ = network.plan("limit bytes=5000 round=2")
    key, sent = frame(run_id)
    client.set(f"{run_id}/large", bytes(20_000))
    client.set(key, sent)
    command = f"get {run_id}/large\r\n".encode()

    for _ in range(2):
        with socket.create_connection(("127.0.0.1", network.port)) as raw:
            raw.sendall(command)
            read = [raw.recv(65_536)]
            while read[-1]:
                read.append(raw.recv(65_536))
        assert 5000 == len(command) + sum(map(len, read))
    with closing(network.client()) as another:
        assert another.set(key, sent)


def test_the_end_of_a_connection_is_learned_late(network, client):
    """So it is when the other end closes it in order, and when it breaks."""
    run_id, _ = network.plan("slow-close delay_ms=300 round=2", "cut round=3 s=0.1")
    (key, sent), (next_key, next_sent) = frame(run_id), frame(run_id, round_number=3)
    client.set(key, sent)
    ends = [socket.create_connection(("127.0.0.1", network.port), timeout=10) for _ in range(2)]
    for raw in ends:
        raw.sendall(f"get {run_id}/absent\r\n".encode())
        assert b"END\r\n" == raw.recv(100)
    closing, breaking = ends
    started = time.monotonic()

    closing.sendall(b"quit\r\n")
    assert b"" == closing.recv(100)
    assert time.monotonic() - started >= 0.3
    started = time.monotonic()
    with pytest.raises(ConnectionError):
        client.set(next_key, next_sent)
    with pytest.raises(ConnectionError):
        breaking.recv(100)
    assert time.monotonic() - started >= 0.3
    for raw in ends:
        raw.close()


def timed(action):
    """Return the duration of an action, seconds."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def until(action, timeout_s=5.0, errors=(OSError, MemcacheError)):
    """Return the action's result as soon as there is one."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return action()
        except errors:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@pytest.fixture(scope="module")
def faulty_stack(settings):
    """Provide a whole stack with faults, on moto."""
    with start_private_stack(settings, s3="moto", faults=True) as state:
        yield state


@pytest.fixture
def s3(faulty_stack):
    """Return S3 as functions see it; its address is read from a function's environment."""
    endpoint = endpoint_of_functions(faulty_stack)
    return boto3.client(
        "s3",
        region_name="us-east-1",
        aws_access_key_id=faulty_stack.endpoints.access_key,
        aws_secret_access_key="test",
        endpoint_url=endpoint,
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=1, read_timeout=5),
    )


def endpoint_of_functions(stack):
    """Return `AWS_ENDPOINT_URL_S3` of the gateway's functions, from its command line."""
    command = psutil.Process(stack.processes["gateway"]).cmdline()
    return command[command.index("--s3-endpoint") + 1]


def post(stack, *faults):
    """Send a plan to the stack and return its run."""
    run_id = uuid.uuid4().hex
    post_plan(stack, run_id, 2, Plan(tuple(map(parse_fault, faults))))
    return run_id


def test_without_a_plan_it_is_s3(s3):
    """Large objects pass in both directions, and missing ones are reported."""
    body = bytes(range(256)) * 20_000
    s3.create_bucket(Bucket="through-the-proxy")

    s3.put_object(Bucket="through-the-proxy", Key="large", Body=body)

    assert body == s3.get_object(Bucket="through-the-proxy", Key="large")["Body"].read()
    assert ["large"] == [e["Key"] for e in s3.list_objects_v2(Bucket="through-the-proxy")["Contents"]]
    assert len(body) == s3.head_object(Bucket="through-the-proxy", Key="large")["ContentLength"]
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket="through-the-proxy", Key="absent")
    s3.delete_object(Bucket="through-the-proxy", Key="large")


def test_s3_answers_503_so_often(faulty_stack, s3):
    """`SlowDown` comes n times for matching objects, then S3 answers."""
    s3.create_bucket(Bucket="busy")
    run_id = post(faulty_stack, "503 s3 n=2 key=busy/a*")

    s3.put_object(Bucket="busy", Key="other", Body=b"1")
    for _ in range(2):
        with pytest.raises(ClientError, match="SlowDown"):
            s3.put_object(Bucket="busy", Key="a/1", Body=b"1")
    s3.put_object(Bucket="busy", Key="a/1", Body=b"1")

    assert 2 == read_events(faulty_stack, run_id)[0].times


def test_an_answer_of_the_proxys_own_leaves_the_connection_open(faulty_stack, s3):
    """The next request uses the same connection: a reset could discard the answer before it is read."""
    s3.create_bucket(Bucket="kept-open")
    post(faulty_stack, "503 s3 n=1 key=kept-open/a")
    address = urlsplit(s3.meta.endpoint_url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    statuses = []

    for _ in range(2):
        url = s3.generate_presigned_url("put_object", Params={"Bucket": "kept-open", "Key": "a"})
        connection.request("PUT", url.removeprefix(s3.meta.endpoint_url), body=b"1")
        statuses.append(connection.getresponse())
        statuses[-1].read()
    connection.close()

    assert [503, 200] == [answer.status for answer in statuses]


POSTER = """
import sys
from pathlib import Path
from harness.faults import Plan, parse_fault
from harness.runs.faults import post_plan
from harness.system import records
from harness.stack import StackState
stack = records.decode(Path(sys.argv[1]).read_bytes(), StackState)
post_plan(stack, "orphaned", 2, Plan((parse_fault("503 s3 key=orphan/*"),)))
print("posted", flush=True)
sys.stdin.read()
"""


def test_the_plan_of_a_killed_run_is_lifted(faulty_stack, s3):
    """`harness run` cannot end its plan after SIGKILL, but its faults affect no later run."""
    s3.create_bucket(Bucket="orphan")
    state = faulty_stack.directory / "state.json"
    with subprocess.Popen(
        [sys.executable, "-c", POSTER, state], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as poster:
        assert poster.stdout.readline() == b"posted\n"
        with pytest.raises(ClientError, match="SlowDown"):
            s3.put_object(Bucket="orphan", Key="a", Body=b"1")
        poster.kill()

    until(lambda: s3.put_object(Bucket="orphan", Key="a", Body=b"1"), errors=(ClientError,))


def test_s3_refuses_stores_as_a_full_disk_does(faulty_stack, s3):
    """A store is refused with an internal error, a read is not."""
    s3.create_bucket(Bucket="full")
    s3.put_object(Bucket="full", Key="before", Body=b"1")
    post(faulty_stack, "refuse s3 key=full/*")

    with pytest.raises(ClientError, match="no space left"):
        s3.put_object(Bucket="full", Key="after", Body=b"1")

    assert b"1" == s3.get_object(Bucket="full", Key="before")["Body"].read()


def test_s3_is_slow_and_cut(faulty_stack, s3):
    """A delay takes effect; a cut breaks the connection and refuses new ones for its duration."""
    s3.create_bucket(Bucket="far")
    post(faulty_stack, "delay s3 ms=120 n=1 key=far*", "cut s3 s=0.3 key=far/cut")

    assert 0.12 <= timed(lambda: s3.put_object(Bucket="far", Key="slow", Body=b"1")) < 1
    with pytest.raises((ConnectionClosedError, EndpointConnectionError)):
        s3.get_object(Bucket="far", Key="cut")
    with pytest.raises((ConnectionClosedError, EndpointConnectionError)):
        s3.get_object(Bucket="far", Key="slow")
    deadline = time.monotonic() + 5
    while True:
        try:
            assert b"1" == s3.get_object(Bucket="far", Key="slow")["Body"].read()
            break
        except EndpointConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_answers_of_s3_come_in_slices_and_connections_carry_so_much(faulty_stack, s3):
    """An object arrives whole in slices; with a limit, it does not arrive, and the client is told so at once."""
    s3.create_bucket(Bucket="sliced")
    s3.put_object(Bucket="sliced", Key="object", Body=bytes(10_000))
    with in_force(faulty_stack, "sliced", 2, Plan((parse_fault("slice s3 bytes=1000 delay_us=20000"),))):
        started = time.monotonic()
        assert bytes(10_000) == s3.get_object(Bucket="sliced", Key="object")["Body"].read()
        assert time.monotonic() - started >= 9 * 0.02
    limited = Plan((parse_fault("limit s3 bytes=5000"),))
    with in_force(faulty_stack, "limited", 2, limited), pytest.raises(ResponseStreamingError):
        s3.get_object(Bucket="sliced", Key="object")["Body"].read()

    assert bytes(10_000) == s3.get_object(Bucket="sliced", Key="object")["Body"].read()


def test_a_plan_ends_with_its_run(faulty_stack, s3):
    """Faults without an end stop with their run; their outcome can still be read."""
    s3.create_bucket(Bucket="for-a-while")
    run_id = uuid.uuid4().hex
    plan = Plan((parse_fault("503 s3 key=for-a-while/*"),))
    with in_force(faulty_stack, run_id, 2, plan), pytest.raises(ClientError, match="SlowDown"):
        s3.put_object(Bucket="for-a-while", Key="a", Body=b"1")

    s3.put_object(Bucket="for-a-while", Key="a", Body=b"1")

    assert 1 == read_events(faulty_stack, run_id)[0].times


def test_a_stack_without_faults_says_so(stack):
    """A plan that the stack cannot carry out is rejected."""
    with pytest.raises(HarnessError, match="brings no faults about"):
        post(stack, "evict round=1")


def test_a_page_does_nothing_through_the_proxy_before_memcached(network, client):
    """The proxy ends the connection at a line of HTTP, as Memcached itself does."""
    with socket.create_connection(("127.0.0.1", network.port), timeout=5) as page:
        page.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nset page 0 0 1\r\nx\r\n")
        try:
            answer = page.recv(4096)
        except ConnectionResetError:
            answer = b""

    assert answer == b""
    assert client.get("page") is None


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://page.example"}, {"Host": "page.example"}])
def test_the_proxies_let_in_whom_the_stack_lets_in(faulty_stack, headers):
    """S3's proxy and the control port refuse web pages and callers without credentials."""
    signed = authorization(faulty_stack.endpoints.access_key, "s3") if headers else {}
    addresses = (endpoint_of_functions(faulty_stack), f"{faulty_stack.endpoints.faults}/runs/any")

    answers = [httpx.get(address, headers=signed | headers, trust_env=False) for address in addresses]

    assert [403, 403] == [answer.status_code for answer in answers]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE"])
def test_the_path_of_health_leads_nowhere(faulty_stack, s3, method):
    """Each proxy answers it itself, and without credentials accepts only GET."""
    s3.create_bucket(Bucket="harness")
    headers = {"Host": "harness.s3.localhost", "x-amz-copy-source": "harness/any"}
    addresses = (endpoint_of_functions(faulty_stack), faulty_stack.endpoints.faults)

    answers = [
        httpx.request(method, f"{address}{HEALTH}", headers=headers, trust_env=False, timeout=10)
        for address in addresses
    ]

    assert [200 if method in {"GET", "HEAD"} else 403] * 2 == [answer.status_code for answer in answers]
    assert b"" == b"".join(answer.content for answer in answers if answer.status_code == 200)
    assert "Contents" not in s3.list_objects_v2(Bucket="harness")


def test_a_function_posts_no_faults(faulty_stack):
    """A function's credentials are valid for S3 behind the proxy, but not for the port that accepts plans."""
    secret = json.loads((faulty_stack.directory / "plan.json").read_bytes())["secret"]
    signed = authorization(session_key(secret, "0123456789abcdef", "token"), "s3") | {"X-Amz-Security-Token": "token"}
    plans = f"{faulty_stack.endpoints.faults}/runs/any"

    assert httpx.get(endpoint_of_functions(faulty_stack), headers=signed, trust_env=False).status_code == 200
    answers = [httpx.request(method, plans, headers=signed, trust_env=False) for method in ("GET", "PUT", "DELETE")]

    assert [403] * 3 == [answer.status_code for answer in answers]
