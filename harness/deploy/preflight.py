"""Checks before any change: the caller, account and region, the quotas, and what would be deployed.

Each check logs its result in one line; the first failure ends the command.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass

import docker
from cfnlint.helpers import REGIONS

from harness.aws.errors import aws_errors, to_harness_error
from harness.aws.function_deployer import NEW_ACCOUNTS_MEMORY_MB
from harness.deploy import images
from harness.deploy.access import Deployment, Verdict, judge_all
from harness.deploy.checks import Finding, check_functions, check_template
from harness.deploy.intrinsics import REGION
from harness.deploy.model_workers import is_worker, model_workers, with_workers
from harness.deploy.target import Target
from harness.deploy.template import load_template, with_defaults
from harness.errors import HarnessError
from harness.settings import Settings
from harness.system.engine import connect

# The services that a deployment uses, by their names in boto3.
SERVICES = ("cloudformation", "ec2", "ecr", "elasticache", "lambda", "logs", "s3", "sqs")

# A placeholder for a value that depends on the region.
_ANY_PREFIX_LIST = "pl-63a5400a"

Log = Callable[[str], None]


@dataclass(frozen=True)
class Account:
    """The caller's account, and its concurrency limit.

    Attributes:
        id: The account's number.
        caller: The ARN of the caller.
        concurrency: The account's limit of concurrent executions in the region.
    """

    id: str
    caller: str
    concurrency: int


def check_account(target: Target, expected: str | None, log: Log) -> Account:
    """Check the caller, the account and the region, and return the account.

    Args:
        target: The account and region.
        expected: The required account; None for any.
        log: Called with the results.

    Raises:
        HarnessError: AWS accepts no credentials, the account is another one, or the region lacks a service.
    """
    check_region(target)
    identity = require_account(target, expected)
    log(f"account      {identity['Account']}, as {identity['Arn']}, in {target.region}")
    with aws_errors("asking Lambda for the account's limits"):
        settings = target.client("lambda").get_account_settings()
    concurrency = int(settings["AccountLimit"]["ConcurrentExecutions"])
    log(f"concurrency  {concurrency} concurrent executions")
    return Account(identity["Account"], identity["Arn"], concurrency)


def require_account(target: Target, expected: str | None) -> dict[str, str]:
    """Return the caller's account and ARN from STS.

    Raises:
        HarnessError: AWS accepts no credentials, or they belong to another account than the expected one.
    """
    with aws_errors("asking AWS who is calling"):
        identity = target.client("sts").get_caller_identity()
    if expected is not None and identity["Account"] != expected:
        raise HarnessError(
            f"these credentials are of account {identity['Account']}, not of {expected}",
            identity["Arn"],
            "choose another profile with AWS_PROFILE, or another --expect-account",
        )
    return {"Account": identity["Account"], "Arn": identity["Arn"]}


def check_region(target: Target) -> None:
    """Check, with boto3's data, that the region has the services that a deployment needs.

    Raises:
        HarnessError: The region lacks a service, or does not exist.
    """
    for service in SERVICES:
        if target.region not in target.session.get_available_regions(service, partition_name=target.partition):
            raise HarnessError(
                f"region {target.region} has no {service}",
                "a deployment needs " + ", ".join(SERVICES),
                "choose another region: --region, or AWS_REGION",
            )


def check_bucket_name(target: Target, bucket: str) -> None:
    """Check that the bucket's name is free; names are global, and an earlier deployment may have left the bucket.

    Raises:
        HarnessError: The name is taken.
    """
    s3 = target.client("s3")
    try:
        s3.head_bucket(Bucket=bucket)
    except s3.exceptions.ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 404:
            return
        if status in {301, 403}:
            raise HarnessError(
                f"the bucket name {bucket} is taken",
                "by another account or in another region",
                "choose another --stack",
            ) from error
        raise to_harness_error(f"looking for the bucket {bucket}", error) from error
    raise HarnessError(
        f"there is a bucket {bucket} already, and it belongs to no stack",
        "an earlier deployment left it, or somebody else created it",
        "remove it, or choose another --stack",
    )


def check_on_this_machine(settings: Settings, given: Mapping[str, str]) -> None:
    """Run the checks that need only this machine, before an emulation is started for the others.

    Args:
        settings: The project's settings, which declare the functions.
        given: The given template parameters.

    Raises:
        HarnessError: A parameter is wrong, there is no engine, or an image was not verified.
    """
    with_defaults(with_workers(load_template(), model_workers(settings)), {**_of_a_region(REGION), **given})
    with closing(connect()) as engine:
        images.verified(engine, settings.root, images.recipes_of(settings))


def check_images(client: docker.DockerClient, settings: Settings, log: Log) -> None:
    """Check that every image was verified, in its current state and from the current sources.

    Raises:
        HarnessError: An image was not.
    """
    for facts in images.verified(client, settings.root, images.recipes_of(settings)):
        log(f"image        {facts.name} {facts.image_id.removeprefix('sha256:')[:12]}, verified")


def findings_of(
    settings: Settings,
    body: str,
    parameters: dict[str, str],
    n_workers: int,
    *,
    region: str = REGION,
    account: Account | None = None,
    model_bytes: int = 0,
) -> list[Finding]:
    """Return the mistakes that would fail on AWS and can be found without AWS.

    Args:
        settings: The project's settings, which declare the functions.
        body: The template.
        parameters: The value of every parameter.
        n_workers: The number of workers in the largest run.
        region: The region of the deployment.
        account: The account, for its concurrency limit; None if not known.
        model_bytes: The size of the largest model that workers will exchange; 0 if not known.
    """
    reserved = {name: n_workers for name in settings.functions if n_workers and is_worker(name)}
    return [
        *check_template(body, parameters, region=region),
        *check_functions(
            settings,
            parameters,
            n_workers,
            model_bytes,
            reserved=reserved,
            account_concurrency=account.concurrency if account else None,
            body=body,
        ),
    ]


def offline(
    settings: Settings, given: Mapping[str, str], n_workers: int, region: str | None = None, model_bytes: int = 0
) -> tuple[list[Finding], list[Verdict]]:
    """Return the results for `harness deploy --check`: findings, and the decisions of the roles' policies.

    Args:
        settings: The project's settings, which declare the functions.
        given: The given template parameters.
        n_workers: The number of workers in the largest run.
        region: The region of the deployment; None for a default.
        model_bytes: The size of the largest model that workers will exchange; 0 if not known.

    Raises:
        HarnessError: A parameter is wrong, or there is no such region.
    """
    body, region = with_workers(load_template(), model_workers(settings)), region or REGION
    if region not in REGIONS:
        near = difflib.get_close_matches(region, REGIONS, n=3)
        raise HarnessError(
            f"there is no region {region}",
            remedy=f"did you mean {' or '.join(near)}?" if near else "name another one: --region",
        )
    parameters = with_defaults(body, {**_of_a_region(region), **given})
    findings = findings_of(settings, body, parameters, n_workers, region=region, model_bytes=model_bytes)
    return findings, judge_all(Deployment(body, parameters, region=region))


def _of_a_region(region: str) -> dict[str, str]:
    """Return placeholders for the parameters that depend on the region."""
    return {"AvailabilityZones": f"{region}a,{region}b", "S3PrefixListId": _ANY_PREFIX_LIST}


def refuse_errors(findings: Iterable[Finding], log: Log) -> None:
    """Log the findings, and raise if one is an error.

    Raises:
        HarnessError: At least one finding is an error; the first is in the message, the others are logged.
    """
    errors: list[Finding] = []
    for finding in findings:
        if finding.level == "error":
            errors.append(finding)
        if errors[:1] != [finding]:
            log(f"{finding.level:<12} {finding.where}: {finding.what} ({finding.rule})")
    if errors:
        more = f", and {len(errors) - 1} more; see `harness deploy --check`" if len(errors) > 1 else ""
        raise HarnessError(errors[0].what, f"{errors[0].where} ({errors[0].rule}){more}", errors[0].remedy)


def memory_note(settings: Settings) -> str:
    """Return a warning about the memory limit of new accounts, which AWS reports only when a function is created."""
    large = [name for name, function in settings.functions.items() if function.memory_mb > NEW_ACCOUNTS_MEMORY_MB]
    if not large:
        return ""
    names = ", ".join(large)
    return f"new accounts may be limited to {NEW_ACCOUNTS_MEMORY_MB} MB per function; {names} declare more"
