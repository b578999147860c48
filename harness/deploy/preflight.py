"""What is checked before anything is changed: who is calling, where, how much is allowed, and what would be deployed.

Each check says in a line what it found; the first that fails ends the command.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass

import docker
from cfnlint.helpers import REGIONS

from harness.aws.errors import aws_errors, translated
from harness.aws.function_deployer import NEW_ACCOUNTS_MEMORY_MB
from harness.deploy import images
from harness.deploy.access import WORKERS, Deployment, Verdict, judge_all
from harness.deploy.checks import Finding, check_functions, check_template
from harness.deploy.intrinsics import REGION
from harness.deploy.target import Target
from harness.deploy.template import load_template, with_defaults
from harness.errors import HarnessError
from harness.settings import Settings
from harness.system.engine import connect

# The services that a deployment uses, by the names that boto3 knows them by.
SERVICES = ("cloudformation", "ec2", "ecr", "elasticache", "lambda", "logs", "s3", "sqs")

# Stand for what only a region tells.
_ANY_PREFIX_LIST = "pl-63a5400a"

Log = Callable[[str], None]


@dataclass(frozen=True)
class Account:
    """Whose account it is, and how much may run in it at once.

    Attributes:
        id: The account's number.
        caller: ARN of who is calling.
        concurrency: Functions that may run at once in the region.
    """

    id: str
    caller: str
    concurrency: int


def check_account(target: Target, expected: str | None, log: Log) -> Account:
    """Who is calling, and in which account and region.

    Args:
        target: Where.
        expected: The account that it must be; None for any.
        log: Told what was found.

    Raises:
        HarnessError: There are no credentials that AWS accepts, it is another account, or the region lacks a service.
    """
    check_region(target)
    identity = require_account(target, expected)
    log(f"account      {identity['Account']}, as {identity['Arn']}, in {target.region}")
    with aws_errors("asking Lambda for the account's limits"):
        settings = target.client("lambda").get_account_settings()
    concurrency = int(settings["AccountLimit"]["ConcurrentExecutions"])
    log(f"concurrency  {concurrency} functions at once")
    return Account(identity["Account"], identity["Arn"], concurrency)


def require_account(target: Target, expected: str | None) -> dict[str, str]:
    """Return who is calling: STS's account and ARN.

    Raises:
        HarnessError: There are no credentials that AWS accepts, or they are of another account than the expected one.
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
    """Whether the region has what a deployment needs, as this version of boto3 knows it.

    Raises:
        HarnessError: It lacks a service, or does not exist.
    """
    for service in SERVICES:
        if target.region not in target.session.get_available_regions(service, partition_name=target.partition):
            raise HarnessError(
                f"region {target.region} has no {service}",
                "a deployment needs " + ", ".join(SERVICES),
                "take another region: --region, or AWS_REGION",
            )


def check_bucket_name(target: Target, bucket: str) -> None:
    """Bucket names are the whole world's: another account may have this one, or an earlier deployment left it.

    Raises:
        HarnessError: It is taken.
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
        raise translated(f"looking for the bucket {bucket}", error) from error
    raise HarnessError(
        f"there is a bucket {bucket} already, and it is of no stack",
        "an earlier deployment was made to leave it, or somebody made it",
        "remove it, or choose another --stack",
    )


def check_on_this_machine(settings: Settings, given: Mapping[str, str]) -> None:
    """What needs nothing but this machine, to be looked at before an emulation is started for the rest.

    Args:
        settings: The functions.
        given: Parameters of the template.

    Raises:
        HarnessError: A parameter is wrong, there is no engine, or an image was not verified.
    """
    with_defaults(load_template(), {**_of_a_region(REGION), **given})
    with closing(connect()) as engine:
        images.verified(engine, settings.root, images.recipes_of(settings))


def check_images(client: docker.DockerClient, settings: Settings, log: Log) -> None:
    """Whether every image was verified, as it is and from this source.

    Raises:
        HarnessError: One was not.
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
    """What would go wrong on AWS, as far as it can be told without AWS.

    Args:
        settings: The functions, with their reserved concurrency.
        body: The template.
        parameters: The value of every parameter.
        n_workers: The largest run that is to be possible.
        region: Where it will be deployed.
        account: Its concurrency; None when it is not known.
        model_bytes: The largest model that workers will exchange; 0 when that is not known.
    """
    reserved = {name: n_workers for name in WORKERS if n_workers and name in settings.functions}
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
    """What `harness deploy --check` tells: findings, and what the roles allow and deny.

    Args:
        settings: The functions.
        given: Parameters of the template.
        n_workers: The largest run that is to be possible.
        region: Where it will be deployed; None for no region in particular.
        model_bytes: The largest model that workers will exchange; 0 when that is not known.

    Raises:
        HarnessError: A parameter is wrong, or there is no such region.
    """
    body, region = load_template(), region or REGION
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
    """Parameters that only a region tells, made up."""
    return {"AvailabilityZones": f"{region}a,{region}b", "S3PrefixListId": _ANY_PREFIX_LIST}


def refuse_errors(findings: Iterable[Finding], log: Log) -> None:
    """Tells what was found.

    Raises:
        HarnessError: Some of it would keep the deployment from working; the first is named, the others are told.
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
    """What AWS tells only when a function is created: how much memory a new account may give to one."""
    large = [name for name, function in settings.functions.items() if function.memory_mb > NEW_ACCOUNTS_MEMORY_MB]
    if not large:
        return ""
    names = ", ".join(large)
    return f"new accounts may be limited to {NEW_ACCOUNTS_MEMORY_MB} MB a function; more is declared for {names}"
