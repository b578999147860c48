"""Compare a no-op invocation through the gateway with one through RIE itself, by the same client, in turns."""

import http.client
import io
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from os import environ
from pathlib import Path

from benchmarks.figure import BenchmarkError, Figure, Goal
from benchmarks.stage import Stage, stage
from benchmarks.turns import in_turns, scaled
from harness.stack import rie_path
from harness.system.probes import wait_until
from harness.system.process_identity import bound_to_parent, free_port

NAME, CALLS, WARM_UP = "no_op", 400, 20
HANDLER = '"""Does nothing."""\n\n\ndef handler(event, context):\n    return event\n'
LIMIT_S = 15.0
PAYLOAD = b"{}"


def gateway() -> Iterator[Figure]:
    """Measure the latency of one synchronous invocation."""
    with stage(s3="moto") as own, tempfile.TemporaryDirectory(prefix="bench-rie-") as folder:
        _create(own)
        (Path(folder) / f"{NAME}.py").write_text(HANDLER)
        host, _, port = own.stack.endpoints.lambda_.removeprefix("http://").rpartition(":")
        with (
            _rie(own, Path(folder)) as rie_port,
            closing(http.client.HTTPConnection("127.0.0.1", rie_port, timeout=LIMIT_S)) as bare,
            closing(http.client.HTTPConnection(host, int(port), timeout=LIMIT_S)) as ours,
        ):
            # RIE accepts only this function name.
            # A stack asks for its access key, and does not verify signatures.
            scope = f"{own.stack.endpoints.access_key}/20260101/us-east-1/lambda/aws4_request"
            signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"}
            calls = (partial(_invoke, bare, "function", {}), partial(_invoke, ours, NAME, signed))
            in_turns(WARM_UP, *calls)
            floor_s, ours_s = in_turns(CALLS, *calls)
    yield Figure(
        name="no-op invocation through the gateway",
        unit="ms",
        floor_name="RIE itself, the same client",
        floor=scaled(floor_s, 1e3),
        ours=scaled(ours_s, 1e3),
        goal=Goal(2),
    )


def _create(own: Stage) -> None:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr(f"{NAME}.py", HANDLER)
    own.clients.functions.create_function(
        FunctionName=NAME,
        Role="arn:aws:iam::123456789012:role/bench",
        Runtime="python3.11",
        Handler=f"{NAME}.handler",
        Code={"ZipFile": code.getvalue()},
        MemorySize=1769,
        Timeout=60,
    )


def _invoke(connection: http.client.HTTPConnection, function: str, headers: Mapping[str, str]) -> None:
    connection.request("POST", f"/2015-03-31/functions/{function}/invocations", PAYLOAD, headers)
    answer = connection.getresponse()
    body = answer.read()
    if (answer.status, body) != (200, PAYLOAD):
        raise BenchmarkError(f"{function} answered {answer.status} {body[:200]!r}, expected 200 {PAYLOAD!r}")


@contextmanager
def _rie(own: Stage, folder: Path) -> Iterator[int]:
    """Start RIE with the handler in this folder; yield its port."""
    port, api_port = free_port(), free_port()
    addresses = ["--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    addresses += ["--runtime-api-address", f"127.0.0.1:{api_port}", "--log-level", "error"]
    runtime = bound_to_parent([sys.executable, "-m", "awslambdaric", f"{NAME}.handler"])
    variables = {
        "PATH": environ["PATH"],
        "AWS_LAMBDA_FUNCTION_NAME": NAME,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "60",
    }
    command = bound_to_parent([rie_path(own.settings), *addresses, *runtime])
    with subprocess.Popen(
        command, cwd=folder, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            if not wait_until(lambda: _listens(port), LIMIT_S):
                raise BenchmarkError(f"RIE does not listen on port {port} after {LIMIT_S:g} s")
            yield port
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
