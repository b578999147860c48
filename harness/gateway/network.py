"""The VPCs that functions join: looked up in the emulation of EC2, so that a wrong subnet is refused as on AWS.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
Functions do not really move into them: in container mode, all of a stack's functions share one isolated network.
"""

import re
from http import HTTPStatus
from urllib.parse import urlencode, urlsplit

from harness.gateway.connection import HttpConnection
from harness.gateway.errors import LambdaApiError, invalid_parameter
from harness.gateway.records import Vpc
from harness.gateway.requests import VpcConfig
from harness.guard import authorization

ANSWERS_WITHIN_S = 10.0
VERSION = "2016-11-15"
_CODE = re.compile(rb"<Code>(.*?)</Code>", re.DOTALL)
# moto names a security group as a Python set with its ID.
_SET, _AS_ELEMENT = re.compile(r"'\{('[^']*')\}'"), r"\1"
_MESSAGE = re.compile(rb"<Message>(.*?)</Message>", re.DOTALL)


class VpcNetwork:
    """Subnets and security groups.

    Args:
        endpoint: Address of the service.
        access_key: The stack's own access key.
    """

    def __init__(self, endpoint: str, access_key: str) -> None:
        self._address = urlsplit(endpoint).netloc
        # As for the logs: the signature is not checked, and boto3 would cost the gateway 20 MB.
        self._headers = {
            **authorization(access_key, "ec2"),
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        }

    async def vpc_of(self, config: VpcConfig) -> Vpc:
        """Return the VPC that a `VpcConfig` describes.

        Raises:
            LambdaApiError: A subnet or security group does not exist, or only one kind of them is given.
        """
        if not config.subnet_ids and not config.security_group_ids:
            return Vpc()
        if not config.subnet_ids or not config.security_group_ids:
            raise invalid_parameter("SubnetIds and SecurityIds must coexist or be both empty list.")
        groups = await self._describe("DescribeSecurityGroups", "GroupId", config.security_group_ids)
        subnets = await self._describe("DescribeSubnets", "SubnetId", config.subnet_ids)
        found = _elements(groups, "vpcId") | _elements(subnets, "vpcId")
        if len(found) != 1:
            raise invalid_parameter(
                f"Subnets and security groups must belong to one VPC, not to {', '.join(sorted(found))}."
            )
        ipv6 = config.ipv6_allowed_for_dual_stack
        zones = tuple(sorted(_elements(subnets, "availabilityZoneId")))
        return Vpc(tuple(config.subnet_ids), tuple(config.security_group_ids), found.pop(), ipv6, zones)

    async def _describe(self, action: str, parameter: str, identities: list[str]) -> bytes:
        form = {"Action": action, "Version": VERSION}
        form |= {f"{parameter}.{number}": identity for number, identity in enumerate(identities, 1)}
        connection = HttpConnection(self._address)
        try:
            answer = await connection.post("/", urlencode(form).encode(), self._headers, ANSWERS_WITHIN_S)
        except (OSError, TimeoutError) as error:
            raise LambdaApiError("EC2UnexpectedException", 502, f"EC2 does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status != HTTPStatus.OK:
            code, message = _CODE.search(answer.body), _MESSAGE.search(answer.body)
            words = (message[1] if message else answer.body[:200]).decode(errors="replace")
            raise invalid_parameter(
                f"Error occurred while {action}. "
                f"EC2 Error Code: {code[1].decode(errors='replace') if code else answer.status}. "
                f"EC2 Error Message: {_SET.sub(_AS_ELEMENT, words)}"
            )
        return answer.body


def _elements(answer: bytes, name: str) -> set[str]:
    """Return the texts of all elements of a name."""
    return {text.decode() for text in re.findall(rb"<%b>([^<]+)</" % name.encode(), answer)}
