"""EC2: deleted VPC endpoints disappear, and existing ones can be found by their tags."""

from collections.abc import Iterator
from typing import Any

from moto.core.resource_tagging import TaggedResource
from moto.ec2.models import EC2Backend
from moto.ec2.models.vpcs import VPCBackend

_delete_of_moto = VPCBackend.delete_vpc_endpoints
_tagged_of_moto = EC2Backend.iter_tagged_resources


def _delete_vpc_endpoints(self: VPCBackend, vpce_ids: list[str] | None = None) -> None:
    """Delete endpoints for good: AWS lists them for some minutes, moto for ever, so that no VPC ever looks empty."""
    _delete_of_moto(self, vpce_ids)
    for identity in vpce_ids or []:
        self.vpc_end_points.pop(identity, None)


def _tagged(self: EC2Backend) -> Iterator[TaggedResource]:
    yield from _tagged_of_moto(self)
    endpoint: Any
    for endpoint in list(self.vpc_end_points.values()):
        arn = f"arn:aws:ec2:{self.region_name}:{self.account_id}:vpc-endpoint/{endpoint.id}"
        tags = {tag["key"]: tag["value"] for tag in endpoint.get_tags()}
        yield TaggedResource(arn=arn, tags=tags, resource_type="ec2:vpc-endpoint")


def install(_endpoint: str) -> None:
    """Add this to moto's EC2."""
    VPCBackend.delete_vpc_endpoints = _delete_vpc_endpoints  # type: ignore[method-assign]
    EC2Backend.iter_tagged_resources = _tagged  # type: ignore[method-assign]
