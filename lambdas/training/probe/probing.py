"""What each probe measures: raw samples, of which a calibration makes figures.

Nothing is estimated here: a function returns every latency, and the bytes of every few milliseconds.
Objects are in `runs/<run_id>/checkpoint/probe/` and values under `<run_id>/probe/`: both are gone afterwards, at the
latest when the calibration ends or the values expire.
"""

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from training.errors import ChannelError
from training.exchange.channel.discovery import discover
from training.exchange.channel.memcached import TIMEOUT_S, MemcachedChannel
from training.probe.event import Probe
from training.probe.processor import matrix_gflops, training_rounds
from training.probe.progress import BIN_S, TransferProgress
from training.run.results import CLIENT_CONFIG, RANGE_BYTES, RunFolder, StorageError
from training.run.zone import own_zone

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FOLDER = "checkpoint/probe/"
RELEASED = f"{FOLDER}released"
# A release is looked for this often: S3 takes some 30 ms to answer.
_LOOK_EVERY_S = 0.25
_PIECE_BYTES = 64 << 10
# `get` of so many values keeps a connection busy while the next request is on its way.
_VALUES_AT_ONCE = 8
_SCHEDULED = Path("/proc/thread-self/schedstat")
_SLOW_DOWN = {"SlowDown", "503", "ServiceUnavailable"}


def answer_probe(probe: Probe, s3: "S3Client", cold: dict[str, float] | None) -> dict[str, Any]:
    """Measure, and return the samples beside what is known of this environment.

    Args:
        probe: What to measure.
        s3: A client.
        cold: The phases of the environment's start on its first invocation; None on later ones.

    Raises:
        TrainingError: S3 or the cache is not reachable, or refuses.
    """
    started = time.perf_counter()
    found = _MEASURES[probe.probe](probe, s3)
    return {
        "probe": probe.probe,
        "environment": os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", ""),
        "zone": own_zone(),
        "memory_mb": int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "0")),
        "cold": cold,
        "seconds": time.perf_counter() - started,
        **found,
    }


def _start(probe: Probe, s3: "S3Client") -> dict[str, Any]:
    """Say that this environment began, and hold it until all others have begun, too."""
    if probe.mark is None:
        return {}
    folder, deadline = RunFolder(s3, probe.bucket, probe.run_id), time.monotonic() + probe.seconds
    folder.write(f"{FOLDER}started/{probe.mark}", b"")
    while folder.read(RELEASED) is None and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY_S)
    return {}


def _cache(probe: Probe, _s3: "S3Client") -> dict[str, Any]:
    """Time round trips to the cache that move next to nothing."""
    with closing(MemcachedChannel(probe.host, probe.port)) as channel:
        key = f"{probe.run_id}/probe/absent"
        channel.round_trip({}, [key])  # connects
        return {"round_trips_s": [_timed(lambda: channel.round_trip({}, [key])) for _ in range(probe.samples)]}


def _s3(probe: Probe, s3: "S3Client") -> dict[str, Any]:
    """Time writes of a small object, then reads until the first byte."""
    key, body = _key(probe), bytes(probe.object_bytes)
    with _storage_errors(probe):
        put = partial(s3.put_object, Bucket=probe.bucket, Key=key, Body=body)
        put()  # connects
        writes = [_waited(put)[0] for _ in range(probe.samples)]
        reads = []
        for _ in range(probe.samples):
            waited_s, answer = _waited(lambda: s3.get_object(Bucket=probe.bucket, Key=key))
            reads.append(waited_s)
            answer["Body"].read()
        s3.delete_object(Bucket=probe.bucket, Key=key)
    return {"writes_s": writes, "reads_s": reads}


def _send_s3(probe: Probe, s3: "S3Client") -> dict[str, Any]:
    """Time writes of a large object, one after the other, until the time is up or all samples are taken."""
    key, body = _key(probe), bytes(probe.object_bytes)
    writes: list[float] = []
    deadline = time.monotonic() + probe.seconds
    with _storage_errors(probe):
        while len(writes) < probe.samples and (not writes or time.monotonic() < deadline):
            writes.append(_timed(lambda: s3.put_object(Bucket=probe.bucket, Key=key, Body=body)))
        s3.delete_object(Bucket=probe.bucket, Key=key)
    return {"writes_s": writes, "object_bytes": probe.object_bytes}


def _receive_s3(probe: Probe, s3: "S3Client") -> dict[str, Any]:
    """Read an object again and again, as workers read partitions: ranges, over several connections."""
    key, errors = _key(probe), list[Exception]()
    ranges = max(1, probe.object_bytes // RANGE_BYTES)
    with _storage_errors(probe):
        s3.put_object(Bucket=probe.bucket, Key=key, Body=bytes(probe.object_bytes))
        progress = TransferProgress(probe.seconds)

        def receive(number: int) -> None:
            while not progress.is_over():
                start = number % ranges * RANGE_BYTES
                number += probe.connections
                answer = s3.get_object(Bucket=probe.bucket, Key=key, Range=f"bytes={start}-{start + RANGE_BYTES - 1}")
                with closing(answer["Body"]) as body:
                    while not progress.is_over() and (piece := body.read(_PIECE_BYTES)):
                        progress.add(len(piece))

        _at_once(receive, probe.connections, errors)
        s3.delete_object(Bucket=probe.bucket, Key=key)
        if errors:
            raise errors[0]
    return {"bin_s": BIN_S, "bytes": progress.bins()}


def _receive_cache(probe: Probe, _s3: "S3Client") -> dict[str, Any]:
    """Read a value from the cache again and again, over several connections."""
    key = f"{probe.run_id}/probe/{secrets.token_hex(4)}"
    with closing(MemcachedChannel(probe.host, probe.port)) as channel:
        channel.put_many({key: bytes(probe.object_bytes)})
        node = _node_with(probe, key)
        request = f"get {' '.join([key] * _VALUES_AT_ONCE)}\r\n".encode()
        header = len(f"VALUE {key} 0 {probe.object_bytes}\r\n")
        reply_bytes = _VALUES_AT_ONCE * (header + probe.object_bytes + 2) + len("END\r\n")
        progress, errors = TransferProgress(probe.seconds), list[Exception]()

        def receive(_number: int) -> None:
            buffer = bytearray(_PIECE_BYTES * 4)
            with socket.create_connection(node, timeout=TIMEOUT_S) as connection:
                connection.sendall(request)
                left = reply_bytes
                while not progress.is_over():
                    if left < reply_bytes // 2:  # the next reply begins as soon as this one ends
                        connection.sendall(request)
                        left += reply_bytes
                    size = connection.recv_into(buffer)
                    if not size:
                        raise ConnectionError("the cache closed the connection")
                    left -= size
                    progress.add(size)

        _at_once(receive, probe.connections, errors)
        channel.delete_many([key])
    if errors:
        raise ChannelError(f"Memcached at {node[0]}:{node[1]}: {errors[0]}") from errors[0]
    return {"bin_s": BIN_S, "bytes": progress.bins()}


def _node_with(probe: Probe, key: str) -> tuple[str, int]:
    """Return the node of the cache that holds a key.

    Raises:
        ChannelError: No node has it any longer.
    """
    for host, port in discover(probe.host, probe.port, TIMEOUT_S).nodes:
        with closing(MemcachedChannel(host, port)) as channel:
            if channel.get_many([key]):
                return host, port
    raise ChannelError(f"no node of the cache at {probe.host}:{probe.port} holds {key}: it was evicted at once")


def _requests(probe: Probe, s3: "S3Client") -> dict[str, Any]:
    """Send small requests to one prefix as quickly as possible; count answers and refusals in each bin of time."""
    eager: S3Client = boto3.client(
        "s3",
        config=CLIENT_CONFIG.merge(
            Config(retries={"total_max_attempts": 1}, max_pool_connections=probe.connections)  # a refusal is a sample
        ),
    )
    key, errors = _key(probe), list[Exception]()
    body = bytes(probe.object_bytes)
    with _storage_errors(probe):
        s3.put_object(Bucket=probe.bucket, Key=key, Body=body)
        answered, refused = TransferProgress(probe.seconds), TransferProgress(probe.seconds)

        def ask(_number: int) -> None:
            while not answered.is_over():
                try:
                    if probe.writes:
                        eager.put_object(Bucket=probe.bucket, Key=key, Body=body)
                    else:
                        eager.get_object(Bucket=probe.bucket, Key=key)["Body"].read()
                except ClientError as error:
                    if error.response["Error"]["Code"] not in _SLOW_DOWN:
                        raise
                    refused.add(1)
                else:
                    answered.add(1)

        _at_once(ask, probe.connections, errors)
        if errors:
            raise errors[0]
    return {"bin_s": BIN_S, "answered": answered.bins(), "refused": refused.bins(), "began": time.time()}


def _processor(probe: Probe, _s3: "S3Client") -> dict[str, Any]:
    return {"gflops": matrix_gflops(probe.seconds / 2), "rounds_per_s": training_rounds(probe.seconds / 2)}


def _key(probe: Probe) -> str:
    return f"runs/{probe.run_id}/{FOLDER}{secrets.token_hex(4)}"


def _timed(call: Callable[[], object]) -> float:
    """Return how long a call took, without the time in which this thread was ready and had no processor."""
    started, queued = time.perf_counter(), _queued_s()
    call()
    return time.perf_counter() - started - (_queued_s() - queued)


def _waited(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return how long a call waited, without this thread's processor time (milliseconds, in boto3), and its result."""
    found, worked = list[Any](), time.thread_time()
    took_s = _timed(lambda: found.append(call()))
    return took_s - (time.thread_time() - worked), found[0]


def _queued_s() -> float:
    """Return how long this thread has waited for a processor in all: on a busy machine, that is no latency.

    0 where the kernel does not count it: https://docs.kernel.org/scheduler/sched-stats.html
    """
    try:
        return int(_SCHEDULED.read_bytes().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def _at_once(work: Callable[[int], None], count: int, errors: list[Exception]) -> None:
    """Call a function in so many threads, with their numbers, and wait; collect what they raise."""

    def guarded(number: int) -> None:
        try:
            work(number)
        except Exception as error:  # noqa: BLE001 - the caller raises it
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextmanager
def _storage_errors(probe: Probe) -> Iterator[None]:
    """Translate the errors of S3's client."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise StorageError(f"s3://{probe.bucket}: {error}") from error


_MEASURES: dict[str, Callable[[Probe, "S3Client"], dict[str, Any]]] = {
    "start": _start,
    "cache": _cache,
    "s3": _s3,
    "send_s3": _send_s3,
    "receive_s3": _receive_s3,
    "receive_cache": _receive_cache,
    "requests": _requests,
    "processor": _processor,
}
