"""Rules for resources: they carry tags, are not public, and roles grant no more than needed."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from harness.deploy import access
from harness.deploy.finding import Finding
from harness.deploy.intrinsics import Resolver
from harness.deploy.template import PROJECT_TAG, STACK_TAG, camel, output_name

Template = Mapping[str, Any]

_OUTPUTS = (
    "DataBucket",
    "SubnetIds",
    "FunctionSecurityGroupId",
    "CacheHost",
    "CachePort",
    "CacheZone",
    "FailureQueueArn",
)
_FUNCTION_OUTPUTS: tuple[Literal["RoleArn", "RepositoryUri"], ...] = ("RoleArn", "RepositoryUri")
_UNTAGGABLE = {
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::S3::BucketPolicy",
}
# Actions that AWS supports only on all resources.
_ONLY_ON_ALL = {"ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"}


def _outputs(template: Template, _resolver: Resolver) -> Iterator[Finding]:
    """Check that the template has the outputs that the harness reads."""
    of_functions = [output_name(name, kind) for name in access.FUNCTIONS for kind in _FUNCTION_OUTPUTS]
    for name in (*_OUTPUTS, *of_functions):
        if name not in template.get("Outputs", {}):
            yield Finding("output", f"Outputs.{name}", "the template lacks this output", "restore it")


def _tags(template: Template, resolver: Resolver) -> Iterator[Finding]:
    """Check that every resource has the tags by which leftovers are found."""
    for name, entry in template["Resources"].items():
        if entry["Type"] in _UNTAGGABLE:
            continue
        properties = resolver.properties(name)
        keys = {tag["Key"] for tag in properties.get("Tags", properties.get("ResourceTags", []))}
        missing = sorted({PROJECT_TAG, STACK_TAG} - keys)
        if missing:
            yield Finding("tags", name, f"the resource lacks the tag {', '.join(missing)}", "add it to its Tags")


def _storage(_template: Template, resolver: Resolver) -> Iterator[Finding]:
    """Check that buckets are private and encrypted, repository tags are immutable, and logs expire."""
    for name in resolver.of_type("AWS::S3::Bucket"):
        properties = resolver.properties(name)
        block = properties.get("PublicAccessBlockConfiguration", {})
        for setting in ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"):
            if not block.get(setting):
                yield Finding("bucket", name, f"{setting} is off", f"{setting}: true")
        if "BucketEncryption" not in properties:
            yield Finding("bucket", name, "encryption is not configured", "add BucketEncryption")
    for name in resolver.of_type("AWS::ECR::Repository"):
        properties = resolver.properties(name)
        if properties.get("ImageTagMutability") != "IMMUTABLE":
            yield Finding("repository", name, "its tags can be moved", "ImageTagMutability: IMMUTABLE")
        if not properties.get("ImageScanningConfiguration", {}).get("ScanOnPush"):
            yield Finding("repository", name, "images are not scanned", "ScanOnPush: true", "warning")
    for name in resolver.of_type("AWS::Logs::LogGroup"):
        if "RetentionInDays" not in resolver.properties(name):
            yield Finding("logs", name, "logs are kept, and charged for, forever", "RetentionInDays: 14", "warning")


def _permissions(template: Template, resolver: Resolver) -> Iterator[Finding]:
    """Check that no role has permissions on everything, except where AWS supports nothing else."""
    for name, entry in template["Resources"].items():
        if entry["Type"] != "AWS::IAM::Role":
            continue
        properties = resolver.properties(name)
        if properties.get("ManagedPolicyArns"):
            yield Finding("permissions", name, "managed policies grant unknown permissions", "list the permissions")
        for policy in properties.get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                yield from _statement(name, statement)


def _statement(role: str, statement: Mapping[str, Any]) -> Iterator[Finding]:
    where = f"{role}, statement {statement.get('Sid', 'without Sid')}"
    if "Sid" not in statement:
        yield Finding("permissions", where, "the statement has no name", "give it a Sid")
    if statement["Effect"] != "Allow":
        return
    actions = _several(statement.get("Action", "*"))
    for action in actions:
        if action.endswith("*"):
            yield Finding("permissions", where, f"{action} allows unlisted actions", "list the actions")
    if "*" in _several(statement.get("Resource", "*")) and not set(actions) <= _ONLY_ON_ALL:
        extra = ", ".join(sorted(set(actions) - _ONLY_ON_ALL))
        yield Finding("permissions", where, f"{extra} on every resource", "list the resources")


def _several(value: Any) -> list[Any]:  # noqa: ANN401 - IAM accepts a single value for a list of one
    return value if isinstance(value, list) else [value]


def check_access(body: str, parameters: Mapping[str, str], region: str) -> list[Finding]:
    """Check the roles against the table in `harness.deploy.access`."""
    verdicts = access.judge_all(access.Deployment(body, parameters, region=region))
    words = {True: "allowed", False: "denied"}
    return [
        Finding(
            "access",
            f"{camel(verdict.call.function)}Role",
            f"{verdict.call.action} on {verdict.call.resource} ({verdict.call.why}) is {words[verdict.allowed]}: "
            f"{verdict.by}",
            f"it should be {words[verdict.call.expected]}",
        )
        for verdict in verdicts
        if not verdict.as_expected
    ]


RULES: tuple[Callable[[Template, Resolver], Iterator[Finding]], ...] = (_outputs, _tags, _storage, _permissions)
