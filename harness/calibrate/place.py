"""Where a calibration measures: a deployment, or a stack of this machine, and the function that it makes there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.config import Config

from harness.aws.errors import aws_errors
from harness.aws.function_deployer import Code, DesiredFunction, Placement
from harness.aws.stack_session import DIRECT
from harness.deploy import functions
from harness.deploy.calibration_function import CALIBRATION_FUNCTION
from harness.deploy.run_target import deployed_run_target
from harness.deploy.stack import Log, read_stack
from harness.deploy.target import Target, rehearsal_target
from harness.deploy.template import PROJECT_TAG
from harness.errors import HarnessError
from harness.presets.zones import CACHE_ZONE
from harness.runs.declared import declared
from harness.runs.functions import code_of
from harness.runs.prepared import RESULT_BUCKET
from harness.settings import Settings
from harness.stack.state import StackState
from training.model.catalogue import WORKER

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client

# The probe holds its environments for less; the limit ends them if this command was killed.
FUNCTION_TIMEOUT_S = 150
# Whatever changes in a function's configuration ends its environments.
GENERATION = "HARNESS_CALIBRATION"


@dataclass(frozen=True)
class CalibrationPlace:
    """A deployment that is measured.

    Attributes:
        kind: `aws`, `rehearsal`, or a stack's mode.
        region: The region; of an emulation, the one that it plays.
        stack: The deployment's name.
        invoking: Lambda, for many invocations at once, none of which is repeated.
        managing: Lambda, to create and change functions.
        logs: CloudWatch Logs.
        s3: S3.
        bucket: The bucket that the function may use.
        host: The host of the cache's configuration endpoint, as functions see it.
        port: Its port.
        worker: The worker, with its memory size.
        code: Its code: the deployed image, by its digest.
        placement: The role and the network of the function.
        cache_zone: The ID of the cache's zone; empty if it is unknown.
    """

    kind: str
    region: str
    stack: str
    invoking: "LambdaClient"
    managing: "LambdaClient"
    logs: Any
    s3: "S3Client"
    bucket: str
    host: str
    port: int
    worker: Any
    code: Code
    placement: Placement
    cache_zone: str = ""

    @property
    def is_image(self) -> bool:
        """Whether the function comes from an image."""
        return bool(self.code.image)

    @property
    def memory_mb(self) -> int:
        """The worker's memory size."""
        return int(self.worker.memory_mb)

    def desired(self, memory_mb: int, generation: int) -> DesiredFunction:
        """Return the function of a generation: none of its environments is left from an earlier one."""
        settings = msgspec.structs.replace(
            self.worker,
            memory_mb=memory_mb,
            timeout_s=FUNCTION_TIMEOUT_S,
            retries=0,
            recursive=False,
            reserved_concurrency=0,
            environment={**self.worker.environment, GENERATION: str(generation)},
        )
        return DesiredFunction(CALIBRATION_FUNCTION, settings, self.code, self.placement)


def deployed_place(target: Target, name: str, settings: Settings, n_at_once: int) -> CalibrationPlace:
    """Return a deployment as the place of a calibration.

    Args:
        target: The account and region, or the rehearsal.
        name: The stack's name.
        settings: The project's settings.
        n_at_once: Invocations at once.

    Raises:
        HarnessError: There is no such deployment, or it is incomplete.
    """
    with aws_errors(f"looking for the stack {name}"):
        stack = read_stack(target.client("cloudformation"), name)
        rehearse = " --rehearse" if target.kind == "rehearsal" else ""
        if stack is None or not stack.stands:
            state = f"the stack is {stack.status}" if stack else "there is no such stack"
            raise HarnessError(
                f"{name} is not deployed in {target.region}", state, f"run `harness deploy{rehearse}` first"
            )
        managing = target.run_clients().management
        try:
            found: Any = managing.get_function(FunctionName=WORKER.name)
        except managing.exceptions.ResourceNotFoundException as error:
            raise HarnessError(
                f"function {WORKER.name} is not deployed", f"stack {name}", f"run `harness deploy{rehearse}`"
            ) from error
    tags = functions.tags_of(found.get("Tags", {}).get(PROJECT_TAG, ""), name)
    deployed = functions.placement_of(stack, WORKER.name, tags)
    configuration = found["Configuration"]
    worker = msgspec.structs.replace(
        declared(settings, WORKER.name),
        memory_mb=configuration["MemorySize"],
        ephemeral_storage_mb=configuration.get("EphemeralStorage", {}).get("Size", 512),
        environment=configuration.get("Environment", {}).get("Variables", {}),
    )
    digest = found.get("Code", {}).get("ResolvedImageUri", "")
    image = digest.rpartition("@")[2]
    code = Code(image.removeprefix("sha256:"), {"ImageUri": digest}, image)
    return _place(
        target,
        n_at_once,
        stack=name,
        bucket=functions.output(stack, "DataBucket"),
        discovery=f"{functions.output(stack, 'CacheHost')}:{functions.output(stack, 'CachePort')}",
        worker=worker,
        code=code,
        placement=_without_versions(deployed, tags),
        cache_zone=deployed_run_target(target, name, lambda _line: None).cache_zone,
    )


def _without_versions(deployed: Placement, tags: Mapping[str, str]) -> Placement:
    """Return the placement of the short-lived function: no versions, and no queue for events that it never gets."""
    return Placement(deployed.role, deployed.subnets, deployed.security_groups, tags)


def stack_place(stack: StackState, settings: Settings, n_at_once: int, log: Log) -> CalibrationPlace:
    """Return a stack of this machine without a deployment as the place of a calibration.

    Args:
        stack: The stack, whose result bucket is made if it is missing.
        settings: The project's settings.
        n_at_once: Invocations at once.
        log: Called if the worker's libraries are built.
    """
    target = rehearsal_target(stack)
    target.run_clients().s3.create_bucket(Bucket=RESULT_BUCKET)
    return _place(
        target,
        n_at_once,
        stack="",
        bucket=RESULT_BUCKET,
        discovery=stack.functions_see.discovery,
        worker=declared(settings, WORKER.name),
        code=code_of(WORKER.name, settings, stack.mode, log=log),
        placement=Placement(),
        cache_zone=CACHE_ZONE,
    )


def _place(target: Target, n_at_once: int, *, discovery: str, **known: Any) -> CalibrationPlace:  # noqa: ANN401 - the attributes
    clients = target.run_clients()
    config = Config(
        # Longer than the function may take; a second try would be another sample.
        read_timeout=FUNCTION_TIMEOUT_S + 30,
        retries={"total_max_attempts": 1},
        max_pool_connections=n_at_once,
        tcp_keepalive=True,
    )
    create: Callable[..., Any] = target.session.client
    own = DIRECT.merge(config) if target.stack is not None else config
    host, _, port = discovery.rpartition(":")
    return CalibrationPlace(
        kind=target.kind,
        region=target.region,
        invoking=create("lambda", endpoint_url=target.endpoint("lambda"), config=own),
        managing=clients.management,
        logs=clients.logs,
        s3=clients.s3,
        host=host,
        port=int(port),
        **known,
    )
