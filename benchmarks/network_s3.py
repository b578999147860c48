"""Compare what functions see of an emulated S3 with what was to be emulated: small and large reads, one and several."""

import json
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.figure import BenchmarkError, Figure, Goal
from benchmarks.stage import TREE, project_folder
from harness.aws.clients import Clients, clients_for
from harness.images.build import find_base
from harness.presets.distribution import Constant
from harness.presets.emulated_network import EmulatedNetwork
from harness.presets.preset import load_preset
from harness.runs.functions import package
from harness.settings import OWN_RUNTIME, FunctionSettings
from harness.stack import start_private_stack
from harness.stack.state import Mode
from harness.system.engine import EngineUnavailable, connect

NAME, BUCKET, HANDLERS = "time_s3", "bench", TREE / "fixtures" / "handlers"
# Bytes of an object, and how often each function reads it.
SIZES = {1_000: 20, 1_000_000: 20, 20_000_000: 5}
COUNTS = (1, 2, 4, 8)
LATENCY_MS = 27.0
# Long enough for the invocations of all functions to arrive, so that they begin together.
ALL_HERE_S = 0.5
MB = 1e6


def network_s3() -> Iterator[Figure]:
    """Measure reads in both modes."""
    yield from _reads("process")
    try:
        connect().close()
    except EngineUnavailable:
        yield Figure(name="read from an emulated S3, containers", not_measured="no Docker engine answers")
        return
    yield from _reads("container")


def _reads(mode: Mode) -> Iterator[Figure]:
    preset = load_preset()
    # Without its distribution, each read is to take the same time.
    figures = {name: figure.value for name, figure in preset.figures.items()} | {"s3_latency": Constant(LATENCY_MS)}
    network = EmulatedNetwork(preset=preset.name, figures=figures)
    with (
        project_folder() as settings,
        _code(mode) as code,
        start_private_stack(settings, s3="moto", mode=mode, network=network) as stack,
    ):
        clients = clients_for(stack.endpoints)
        _prepare(clients, code)
        with ThreadPoolExecutor(max(COUNTS)) as pool:
            _together(clients, pool, max(COUNTS), [])
            for size, times in SIZES.items():
                wanted_ms = LATENCY_MS + 1e3 * size / MB / preset.typical("s3_bandwidth")
                for count in COUNTS:
                    seconds = _together(clients, pool, count, [str(size)] * times)
                    yield Figure(
                        name=f"read of {size / MB:g} MB from an emulated S3 by {count} at once, {mode}",
                        unit="ms",
                        floor_name="its latency, and its bytes by the function's bandwidth",
                        floor=(wanted_ms,),
                        ours=tuple(1e3 * each for each in seconds),
                        goal=Goal(1.1),
                    )


def _prepare(clients: Clients, code: dict[str, Any]) -> None:
    clients.s3.create_bucket(Bucket=BUCKET)
    for size in SIZES:
        clients.s3.put_object(Bucket=BUCKET, Key=str(size), Body=bytes(size))
    role = "arn:aws:iam::123456789012:role/bench"
    clients.functions.create_function(FunctionName=NAME, Role=role, MemorySize=1769, Timeout=60, **code)


def _together(clients: Clients, pool: ThreadPoolExecutor, count: int, keys: list[str]) -> list[float]:
    """Let so many functions read objects one after the other, all at once; return what each read took, s."""
    event = {"bucket": BUCKET, "keys": keys, "bare": True, "at": time.time() + ALL_HERE_S}

    def read(_number: int) -> list[float]:
        answer = clients.functions.invoke(FunctionName=NAME, Payload=json.dumps(event))
        result = json.loads(answer["Payload"].read())
        if answer.get("FunctionError"):
            raise BenchmarkError(f"a function that reads from S3 failed: {result}")
        return [one["seconds"] for one in result]

    return [seconds for each in pool.map(read, range(count)) for seconds in each]


@contextmanager
def _code(mode: Mode) -> Iterator[dict[str, Any]]:
    """Yield what CreateFunction needs to know of the handler; the image of container mode is removed afterwards."""
    if mode == "process":
        code = package(FunctionSettings(source=HANDLERS, handler=f"{NAME}.handler"))
        yield {"Runtime": OWN_RUNTIME, "Handler": f"{NAME}.handler", "Code": {"ZipFile": code}}
        return
    tag = f"bench-{uuid.uuid4().hex[:8]}"
    with closing(connect()) as engine, tempfile.TemporaryDirectory(prefix="bench-image-") as folder:
        (Path(folder) / f"{NAME}.py").write_bytes((HANDLERS / f"{NAME}.py").read_bytes())
        recipe = f'FROM {find_base(engine, None).image_id}\nCOPY {NAME}.py /var/task/\nCMD ["{NAME}.handler"]\n'
        (Path(folder) / "Dockerfile").write_text(recipe)
        image, _ = engine.images.build(path=folder, rm=True, tag=tag)
        try:
            yield {"PackageType": "Image", "Code": {"ImageUri": str(image.id)}}
        finally:
            # The stack has ended, and its containers with it.
            engine.images.remove(tag, force=True)
