"""The target of a deployment: an AWS account, or the emulation on this machine, which accepts the same calls."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import boto3
from botocore.exceptions import UnknownRegionError

from harness.aws.clients import SEVERAL_TRIES, Clients, aws_clients, clients_for, emulation_session
from harness.aws.errors import aws_settings
from harness.aws.stack_session import DIRECT
from harness.errors import HarnessError
from harness.runs.log_tail import AWS_POLLING, LOCAL_POLLING, PollingProfile
from harness.stack.state import StackState

Kind = Literal["aws", "rehearsal"]
# A boto3 client; the type stubs of most services are not installed.
Client = Any


@dataclass(frozen=True)
class Target:
    """An account in a region.

    Attributes:
        kind: AWS, or the emulation for a rehearsal.
        session: Credentials and region.
        stack: The emulation; None on AWS.
    """

    kind: Kind
    session: boto3.Session
    stack: StackState | None = None

    @property
    def region(self) -> str:
        """The region's name."""
        return str(self.session.region_name)

    @cached_property
    def partition(self) -> str:
        """The region's partition: `aws`, `aws-cn`, ...

        Raises:
            HarnessError: There is no such region.
        """
        try:
            return self.session.get_partition_for_region(self.region)
        except UnknownRegionError as error:
            raise HarnessError(
                f"there is no region {self.region}", remedy="name another one: --region, or AWS_REGION"
            ) from error

    def endpoint(self, service: str) -> str | None:
        """Return the service's URL in the emulation; None on AWS."""
        if self.stack is None:
            return None
        where = self.stack.endpoints
        return {"lambda": where.lambda_, "s3": where.s3}.get(service, where.aws)

    @cached_property
    def _clients(self) -> dict[str, Client]:
        return {}

    def client(self, service: str) -> Client:
        """Return a client that retries throttled calls."""
        if service not in self._clients:
            config = SEVERAL_TRIES
            if self.stack is not None:
                config = config.merge(DIRECT)
            create: Any = self.session.client
            with aws_settings():
                self._clients[service] = create(service, endpoint_url=self.endpoint(service), config=config)
        return self._clients[service]

    def run_clients(self) -> Clients:
        """Return the clients for a run."""
        return aws_clients(self.session) if self.stack is None else clients_for(self.stack.endpoints)

    @property
    def polling(self) -> PollingProfile:
        """How often its services are polled."""
        return AWS_POLLING if self.stack is None else LOCAL_POLLING


def aws_target(region: str | None) -> Target:
    """Return AWS as target, with the credentials that AWS's own tools would use.

    Args:
        region: The region; None for that of the profile or the environment.

    Raises:
        HarnessError: No region is set, or the profile does not exist.
    """
    with aws_settings():
        session = boto3.Session(region_name=region)
    if not session.region_name:
        raise HarnessError("no AWS region is set", remedy="name one: --region, or AWS_REGION")
    return Target("aws", session)


def rehearsal_target(stack: StackState) -> Target:
    """Return the emulation as target."""
    return Target("rehearsal", emulation_session(stack.endpoints), stack)
