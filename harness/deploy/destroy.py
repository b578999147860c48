"""Remove a deployment: the functions, then the stack, and finally list what is left.

A bucket with objects and a repository with images are kept unless the user asks to empty them. The stack then remains
with them as `DELETE_FAILED` until it is destroyed again; everything with an hourly price is already removed.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from harness.aws.errors import aws_errors
from harness.deploy import functions, preflight, stack
from harness.deploy.calibration_function import CALIBRATION_FUNCTION
from harness.deploy.inventory import Standing, standing
from harness.deploy.model_workers import deployed_before
from harness.deploy.stack import Log, StackInfo
from harness.deploy.target import Client, Target
from harness.errors import HarnessError
from harness.settings import Settings

# Lambda removes its network interfaces from the VPC some time after the last function was deleted.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
INTERFACES_GONE_WITHIN_S = 45 * 60.0
_FIRST_POLL_S, _LONGEST_POLL_S = 0.5, 15.0
# The largest batches that S3 and ECR accept.
_OBJECTS, _IMAGES = 1000, 100
_HOLDERS = {"AWS::S3::Bucket", "AWS::ECR::Repository"}


class Contents(msgspec.Struct, frozen=True):
    """A bucket or a repository that is not empty.

    Attributes:
        type: Its type.
        name: Its name.
        count: How many objects or images it holds.
    """

    type: str
    name: str
    count: int

    def __str__(self) -> str:
        kind = "object" if self.type == "AWS::S3::Bucket" else "image"
        return f"{self.name}: {self.count} {kind}{'s' if self.count > 1 else ''}"


class StackRemoval(msgspec.Struct, frozen=True):
    """The resources to remove.

    Attributes:
        target: `aws` or `rehearsal`.
        account: The account's number.
        region: The region.
        stack: The stack's name.
        status: The stack's status in CloudFormation; empty if there is no stack.
        standing: All existing resources.
        contents: The buckets and repositories that are not empty.
    """

    target: str
    account: str
    region: str
    stack: str
    status: str
    standing: list[Standing]
    contents: list[Contents]


class DestroyOutcome(msgspec.Struct, frozen=True):
    """The result of a removal.

    Attributes:
        status: `removed`, `partly` (something is left), `nothing` (there was nothing), `planned` or `declined`.
        removal: The resources that were to be removed.
        left: The resources that still exist.
    """

    status: str
    removal: StackRemoval
    left: list[Standing]


@dataclass(frozen=True)
class DestroyRequest:
    """The user's request.

    Attributes:
        stack: The stack's name.
        empty: Whether to delete objects and images too.
        expect_account: The required account; None for any.
        dry_run: Whether to only list the existing resources.
    """

    stack: str
    empty: bool = False
    expect_account: str | None = None
    dry_run: bool = False


def destroy(
    target: Target, settings: Settings, request: DestroyRequest, *, log: Log, agree: Callable[[StackRemoval], bool]
) -> DestroyOutcome:
    """Remove everything that a deployment created.

    Args:
        target: The account and region.
        settings: The project's settings, for the functions' names.
        request: The user's request.
        log: Called with progress messages.
        agree: Called with the resources to remove; if it returns False, nothing is changed.

    Raises:
        HarnessError: AWS refused a call, or a resource could not be removed; another call resumes.
    """
    with aws_errors(f"removing the stack {request.stack}"):
        account = preflight.check_account(target, request.expect_account, log)
        cfn = target.client("cloudformation")
        found = stack.settled(cfn, request.stack, log)
        own = deployed_before(found.outputs) if found is not None else []
        names = list(dict.fromkeys([*functions.deployed_names(settings), *own, CALIBRATION_FUNCTION]))
        before = standing(target, request.stack, names)
        contents = list(_contents(target, found))
        status = found.status if found else ""
        removal = StackRemoval(target.kind, account.id, target.region, request.stack, status, before, contents)
        if request.dry_run:
            return DestroyOutcome("planned", removal, before)
        if found is None and not before:
            return DestroyOutcome("nothing", removal, [])
        if not agree(removal):
            return DestroyOutcome("declined", removal, before)
        client = target.client("lambda")
        for name in functions.present(client, names, request.stack):
            functions.remove(client, name, log)
        if found is not None:
            _await_interfaces(target, found, log)
            if request.empty:
                # List again: the wait may have been long, and another deployment may have pushed images.
                _empty(target, list(_contents(target, found)), log)
            _delete(target, found, request, log)
        left = standing(target, request.stack, names, deleted=_deleted(cfn, found))
        return DestroyOutcome("partly" if left else "removed", removal, left)


def _delete(target: Target, found: StackInfo, request: DestroyRequest, log: Log) -> None:
    """Delete the stack; keep buckets and repositories that are not empty unless the request empties them."""
    cfn = target.client("cloudformation")
    try:
        stack.delete(cfn, found, log)
    except stack.StackNotDeleted as error:
        holders = {
            resource["LogicalResourceId"] for resource in _resources(cfn, found) if resource["ResourceType"] in _HOLDERS
        }
        if request.empty or not error.failures or not error.failures.keys() <= holders:
            raise
        log(f"kept         {', '.join(error.failures)}: not empty")


def _resources(cfn: Client, found: StackInfo | None) -> list[dict[str, str]]:
    if found is None:
        return []
    pages = cfn.get_paginator("list_stack_resources").paginate(StackName=found.id)
    return [resource for page in pages for resource in page["StackResourceSummaries"]]


def _deleted(cfn: Client, found: StackInfo | None) -> set[str]:
    """Return the physical IDs of the resources that CloudFormation deleted."""
    return {
        resource["PhysicalResourceId"]
        for resource in _resources(cfn, found)
        if resource["ResourceStatus"] == "DELETE_COMPLETE" and resource.get("PhysicalResourceId")
    }


def _contents(target: Target, found: StackInfo | None) -> Iterator[Contents]:
    for resource in _resources(target.client("cloudformation"), found):
        kind, name = resource["ResourceType"], resource.get("PhysicalResourceId", "")
        if kind not in _HOLDERS or resource["ResourceStatus"] == "DELETE_COMPLETE" or not name:
            continue
        items = _objects(target.client("s3"), name) if kind == "AWS::S3::Bucket" else _images(target, name)
        count = sum(1 for _ in items)
        if count:
            yield Contents(kind, name, count)


def _objects(s3: Client, bucket: str) -> Iterator[dict[str, str]]:
    try:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for entry in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
                yield {"Key": entry["Key"], "VersionId": entry["VersionId"]}
    except s3.exceptions.NoSuchBucket:
        return


def _images(target: Target, repository: str) -> Iterator[dict[str, str]]:
    ecr = target.client("ecr")
    try:
        for page in ecr.get_paginator("list_images").paginate(repositoryName=repository):
            yield from page["imageIds"]
    except ecr.exceptions.RepositoryNotFoundException:
        return


def _empty(target: Target, contents: list[Contents], log: Log) -> None:
    s3, ecr = target.client("s3"), target.client("ecr")
    for entry in contents:
        log(f"emptying     {entry}")
        if entry.type == "AWS::S3::Bucket":
            for batch in _batches(_objects(s3, entry.name), _OBJECTS):
                refused = s3.delete_objects(Bucket=entry.name, Delete={"Objects": batch, "Quiet": True}).get("Errors")
                if refused:
                    raise HarnessError(
                        f"{len(refused)} objects of {entry.name} cannot be deleted, first: {refused[0]['Key']}",
                        f"{refused[0]['Code']}: {refused[0].get('Message', '')}",
                    )
            _abort_uploads(s3, entry.name)
        else:
            # By digest, because an image may have several tags.
            digests = {image["imageDigest"] for image in _images(target, entry.name)}
            for batch in _batches(({"imageDigest": digest} for digest in digests), _IMAGES):
                ecr.batch_delete_image(repositoryName=entry.name, imageIds=batch)


def _abort_uploads(s3: Client, bucket: str) -> None:
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for upload in page.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])


def _batches(items: Iterator[dict[str, str]], size: int) -> Iterator[list[dict[str, str]]]:
    batch: list[dict[str, str]] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _await_interfaces(target: Target, found: StackInfo, log: Log) -> None:
    """Wait until the deleted functions' network interfaces are gone; they block the security group and the subnets."""
    group = found.outputs.get("FunctionSecurityGroupId")
    if group is None:
        return
    ec2 = target.client("ec2")
    deadline, delay = time.monotonic() + INTERFACES_GONE_WITHIN_S, _FIRST_POLL_S
    told = False
    while True:
        filters = [{"Name": "group-id", "Values": [group]}]
        interfaces = ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        if not interfaces:
            return
        for interface in interfaces:
            if interface["Status"] == "available":
                ec2.delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])
        if not told:
            log(f"waiting      for Lambda to release {len(interfaces)} network interfaces; up to half an hour")
            told = True
        if time.monotonic() > deadline:
            ids = ", ".join(interface["NetworkInterfaceId"] for interface in interfaces)
            raise HarnessError(
                f"{len(interfaces)} network interfaces are still in the VPC", ids, "run `harness destroy` again later"
            )
        time.sleep(delay)
        delay = min(2 * delay, _LONGEST_POLL_S)
