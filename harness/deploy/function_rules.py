"""Rules for the functions that harness.toml declares, given the size of a run and the cache."""

from collections.abc import Iterator, Mapping
from typing import Any

from harness.deploy.finding import Finding
from harness.deploy.intrinsics import parse
from harness.deploy.model_workers import is_worker
from harness.deploy.template import camel, output_name
from harness.gateway import limits
from harness.settings import FunctionSettings, Settings

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
UNRESERVED_CONCURRENCY = 100
# Two rounds of frames are kept for ranks that recover; a third is being written.
ROUNDS_IN_CACHE = 3
# Memcached stores a header and the key within an item.
_ITEM_OVERHEAD_BYTES = 512
# GiB of a node: https://docs.aws.amazon.com/AmazonElastiCache/latest/mem-ug/CacheNodes.SupportedTypes.html
_NODE_GIB = {
    "cache.t3.micro": 0.5,
    "cache.t4g.micro": 0.5,
    "cache.t3.small": 1.37,
    "cache.t4g.small": 1.37,
    "cache.t3.medium": 3.09,
    "cache.t4g.medium": 3.09,
    "cache.m5.large": 6.38,
    "cache.m6g.large": 6.38,
    "cache.m7g.large": 6.38,
    "cache.r5.large": 13.07,
    "cache.r6g.large": 13.07,
    "cache.r7g.large": 13.07,
}


def check_functions(
    settings: Settings,
    parameters: Mapping[str, str],
    n_workers: int,
    model_bytes: int = 0,
    *,
    reserved: Mapping[str, int] | None = None,
    account_concurrency: int | None = None,
    body: str | None = None,
) -> list[Finding]:
    """Return the mistakes in the declared functions for a run of a given size.

    Args:
        settings: The project's settings.
        parameters: The value of every parameter of the template.
        n_workers: The number of workers in a run.
        model_bytes: The size of the model's parameters; 0 if not known.
        reserved: The reserved concurrency by function; functions that are absent have none.
        account_concurrency: The account's limit; None if not known.
        body: The template that must have the functions' roles; None to skip that check.
    """
    images = {name: function for name, function in settings.functions.items() if function.image}
    findings = [finding for name, function in images.items() for finding in _function(name, function)]
    findings += _concurrency(images, n_workers, reserved or {}, account_concurrency)
    findings += _cache(parameters, n_workers, model_bytes)
    if body is not None:
        findings += _roles_for(images, parse(body))
    return findings


def check_creation(name: str, arguments: Mapping[str, Any]) -> list[Finding]:
    """Return the mistakes in the arguments of a `CreateFunction` call.

    Args:
        name: The function.
        arguments: The arguments for boto3.
    """
    where, findings = f"functions.{name}", []
    is_image = arguments.get("PackageType") == "Image"
    if is_image and arguments.get("SnapStart", {}).get("ApplyOn", "None") != "None":
        findings.append(Finding("snapstart", where, "SnapStart does not support container images", "remove SnapStart"))
    if is_image and "@sha256:" not in arguments["Code"].get("ImageUri", ""):
        findings.append(
            Finding(
                "digest",
                where,
                f"the image {arguments['Code'].get('ImageUri')} is referenced by a tag",
                "reference it by its digest: repository@sha256:...",
            )
        )
    if "Timeout" not in arguments:
        findings.append(_timeout(name, limits.DEFAULT_TIMEOUT_S))
    vpc = arguments.get("VpcConfig", {})
    if not vpc.get("SubnetIds") or not vpc.get("SecurityGroupIds"):
        findings.append(
            Finding("vpc", where, "the function is in no VPC, but Memcached is", "give it the stack's VpcConfig")
        )
    return findings


def _function(name: str, function: FunctionSettings) -> Iterator[Finding]:
    where = f"functions.{name}"
    if function.timeout_s <= limits.DEFAULT_TIMEOUT_S:
        yield _timeout(name, function.timeout_s)
    if is_worker(name) and not function.recursive:
        yield Finding(
            "recursion",
            where,
            f"the worker may not invoke itself: Lambda stops a chain after {limits.RECURSIVE_INVOCATIONS} invocations",
            "set recursive = true in harness.toml",
        )
    variables = sum(len(key.encode()) + len(value.encode()) for key, value in function.environment.items())
    if variables > limits.ENVIRONMENT_VARIABLES_BYTES:
        yield Finding(
            "environment",
            where,
            f"its environment variables have {variables} bytes, Lambda accepts {limits.ENVIRONMENT_VARIABLES_BYTES}",
            "shorten them",
        )


def _timeout(name: str, seconds: int) -> Finding:
    return Finding(
        "timeout",
        f"functions.{name}",
        f"its time limit is {seconds} s, Lambda's default; just joining a VPC may take longer",
        "set timeout_s in harness.toml",
    )


def _concurrency(
    images: Mapping[str, FunctionSettings], n_workers: int, reserved: Mapping[str, int], account: int | None
) -> Iterator[Finding]:
    for name in images:
        least = n_workers if is_worker(name) else 1
        if name in reserved and reserved[name] < least:
            yield Finding(
                "concurrency",
                f"functions.{name}",
                f"{reserved[name]} concurrent invocations are reserved for it, but the run needs {least}: "
                "the workers would wait for peers that cannot start",
                f"reserve {least}, or use fewer workers",
            )
    if account is None:
        return
    left = account - sum(reserved.values())
    if reserved and left < UNRESERVED_CONCURRENCY:
        yield Finding(
            "concurrency",
            "account",
            f"{sum(reserved.values())} of the account's {account} concurrent invocations would be reserved, but Lambda "
            f"requires that {UNRESERVED_CONCURRENCY} stay unreserved",
            "reserve fewer or none (--n-workers), or ask for a higher quota of concurrent executions",
        )
    unreserved = max((n_workers for name in images if is_worker(name) and name not in reserved), default=0)
    if unreserved and left <= unreserved:
        yield Finding(
            "concurrency",
            "account",
            f"the account allows {left} unreserved concurrent invocations, but the run needs {unreserved + 1}",
            "use fewer workers, or ask for a higher quota of concurrent executions",
        )


def _cache(parameters: Mapping[str, str], n_workers: int, model_bytes: int) -> Iterator[Finding]:
    item = int(parameters["CacheItemBytes"])
    room = item - _ITEM_OVERHEAD_BYTES
    if model_bytes > room:
        pieces = -(-model_bytes // room)
        yield Finding(
            "item-size",
            "CacheItemBytes",
            f"a model of {model_bytes} bytes is split into {pieces} items of at most {item} bytes",
            "raise CacheItemBytes to the next power of two above the model's size",
            "warning",
        )
    gib = _NODE_GIB.get(parameters["CacheNodeType"])
    needed = ROUNDS_IN_CACHE * n_workers * model_bytes
    if gib is not None and needed > gib * int(parameters["CacheNodes"]) * 2**30:
        yield Finding(
            "cache-memory",
            "CacheNodeType",
            f"{ROUNDS_IN_CACHE} rounds of {n_workers} workers need {needed / 2**30:.2f} GiB, "
            f"{parameters['CacheNodes']} {parameters['CacheNodeType']} hold {gib * int(parameters['CacheNodes']):g}: "
            "frames would be evicted before they are read",
            "choose a larger CacheNodeType or more CacheNodes",
        )


def _roles_for(images: Mapping[str, FunctionSettings], template: Mapping[str, Any]) -> Iterator[Finding]:
    for name in images:
        if output_name(name, "RoleArn") not in template.get("Outputs", {}):
            yield Finding(
                "role",
                f"functions.{name}",
                "the template has no role and repository for this function",
                f"add {camel(name)}Role, {camel(name)}Repository and their outputs, or remove its image",
            )
