"""The parts of the Lambda service that its routes use."""

from dataclasses import dataclass, field

from starlette.requests import Request

from harness.faults.calls import CallFaults
from harness.gateway.account import AccountLimits
from harness.gateway.debugging import Debugging
from harness.gateway.downloads import Downloads
from harness.gateway.events.destinations import Destinations
from harness.gateway.faults import InvocationFaults
from harness.gateway.feed import Feed
from harness.gateway.functions import FunctionStore
from harness.gateway.invocations import Invoker
from harness.gateway.layer_store import LayerStore
from harness.gateway.logs.metrics import Metrics
from harness.gateway.logs.service import LogService
from harness.gateway.mappings.store import Mappings
from harness.gateway.network import VpcNetwork
from harness.gateway.permissions import Permissions
from harness.gateway.pool import Pool
from harness.gateway.provisioned import Provisioned
from harness.gateway.s3_objects import S3Objects


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of the Lambda service."""

    functions: FunctionStore
    pool: Pool
    invoker: Invoker
    faults: InvocationFaults
    account: AccountLimits
    network: VpcNetwork
    permissions: Permissions
    destinations: Destinations
    logs: LogService
    metrics: Metrics
    debugging: Debugging
    feed: Feed
    s3: S3Objects
    downloads: Downloads
    layers: LayerStore
    provisioned: Provisioned
    mappings: Mappings
    call_faults: CallFaults = field(default_factory=CallFaults)


def services_of(request: Request) -> Services:
    """Return the services of the application that handles a request."""
    services: Services = request.app.state.services
    return services
