"""EC2: zones have the IDs of the emulated network; deleted VPC endpoints disappear, and existing ones have tags."""

from collections.abc import Iterator
from typing import Any

from moto.core.resource_tagging import TaggedResource
from moto.ec2.models import EC2Backend
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend
from moto.ec2.models.vpcs import VPCBackend

from harness.presets.zones import ZONES

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


def _name_zones() -> None:
    """Give the zones of us-east-1 their IDs in the order of `ZONES`.

    Each account has its own order. In this one, the cache of a deployment is where the emulated network has it.
    """
    zones = RegionsAndZonesBackend.zones["us-east-1"]
    left = sorted({zone.zone_id for zone in zones} - set(ZONES))
    # moto has few instance types in us-east-1e, as AWS in use1-az3, and that is the zone without Lambda.
    without = [zone for zone in zones if zone.name == "us-east-1e"]
    others = [zone for zone in zones if zone not in without]
    for zone, identity in zip((*others, *without), (*ZONES, *left), strict=True):
        zone.zone_id = identity


def install(_endpoint: str) -> None:
    """Add this to moto's EC2."""
    _name_zones()
    VPCBackend.delete_vpc_endpoints = _delete_vpc_endpoints  # type: ignore[method-assign]
    EC2Backend.iter_tagged_resources = _tagged  # type: ignore[method-assign]
