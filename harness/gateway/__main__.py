"""The gateway's process: `python -m harness.gateway --port P --directory DIR ...`, started by the stack."""

import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import click
import httpx
import uvicorn
from starlette.applications import Starlette

from harness.gateway import limits
from harness.gateway.app import Services, create_app
from harness.gateway.environment import Environment, start_environment
from harness.gateway.faults import InvocationFaults
from harness.gateway.functions import Function, FunctionStore
from harness.gateway.invocations import Invoker
from harness.gateway.logs import LogService
from harness.gateway.pool import Pool
from harness.gateway.rie_process import start_process
from harness.gateway.sandbox import Sandbox

SHUTDOWN_WITHIN_S = 1


@click.command()
@click.option("--port", type=int, required=True, help="Port on the loopback interface.")
@click.option(
    "--directory", type=click.Path(path_type=Path), required=True, help="Folder for code and temporary files."
)
@click.option("--s3-endpoint", required=True, help="What functions find in AWS_ENDPOINT_URL_S3.")
@click.option("--aws-endpoint", required=True, help="What functions find in AWS_ENDPOINT_URL; takes the logs.")
@click.option("--rie", type=click.Path(path_type=Path, exists=True), required=True, help="The RIE binary.")
@click.option("--account-concurrency", type=int, default=1000, show_default=True, help="Invocations at once.")
@click.option("--retry-time-scale", type=float, default=1.0, show_default=True, help="Factor on AWS's retry waits.")
@click.option("--idle-timeout-s", type=float, default=600.0, show_default=True, help="Life of an idle environment.")
def main(
    *,
    port: int,
    directory: Path,
    s3_endpoint: str,
    aws_endpoint: str,
    rie: Path,
    account_concurrency: int,
    retry_time_scale: float,
    idle_timeout_s: float,
) -> None:
    """Serves the Lambda API until it is told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    variables = {
        "AWS_ENDPOINT_URL": aws_endpoint,
        "AWS_ENDPOINT_URL_S3": s3_endpoint,
        "AWS_ENDPOINT_URL_LAMBDA": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    environments = directory / "environments"
    environments.mkdir(parents=True, exist_ok=True)
    client = httpx.AsyncClient(limits=httpx.Limits(max_connections=None, max_keepalive_connections=None))

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        logs.start()
        yield
        await invoker.stop()
        await pool.stop()
        await logs.stop()
        await client.aclose()

    async def start(function: Function) -> Environment:
        return await start_environment(
            function, start_sandbox, client, log=lambda stream, line: logs.write(function.name, stream, line)
        )

    async def start_sandbox(function: Function, stream: str) -> Sandbox:
        return await start_process(function, stream, rie=rie, folder=environments, variables=variables)

    logs = LogService(aws_endpoint, limits.REGION)
    functions = FunctionStore(directory / "functions")
    pool = Pool(start, concurrency=account_concurrency, idle_timeout_s=idle_timeout_s)
    faults = InvocationFaults()
    invoker = Invoker(functions, pool, faults, retry_time_scale, lambda name, line: logs.write(name, "gateway", line))
    app = create_app(Services(functions, pool, invoker, faults), lifespan)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=SHUTDOWN_WITHIN_S)


if __name__ == "__main__":
    main()
