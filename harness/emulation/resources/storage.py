"""AWS::S3::*, AWS::ECR::*, AWS::Logs::* and AWS::SQS::*: data, images, logs and failed events."""

import json
from typing import Any

from botocore.exceptions import ClientError

from harness.emulation.resources.base import (
    Api,
    CreatedResource,
    Handler,
    Properties,
    ResourceRefused,
    ResourceRequest,
    ResourceUpdate,
    dropped_tags,
    flag,
    names,
    tag_map,
)

# CreateBucket takes no region here.
_DEFAULT_REGION = "us-east-1"


def _create_bucket(request: ResourceRequest) -> CreatedResource:
    s3, given, region = request.api.s3, request.properties, request.api.region
    bucket = given.get("BucketName", request.name.lower()[:63])
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
    else:
        # In us-east-1, S3 accepts a second CreateBucket by the owner; CloudFormation does not.
        raise ResourceRefused(f"{bucket} already exists (Service: S3, Status Code: 409)")
    place = {} if region == _DEFAULT_REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=bucket, **place)
    request.exists(bucket)
    _configure_bucket(request.api, bucket, given)
    attributes = {
        "Arn": f"arn:aws:s3:::{bucket}",
        "DomainName": f"{bucket}.s3.amazonaws.com",
        "RegionalDomainName": f"{bucket}.s3.{region}.amazonaws.com",
    }
    return CreatedResource(bucket, attributes)


def _configure_bucket(api: Api, bucket: str, given: Properties) -> None:
    s3 = api.s3
    if "BucketEncryption" in given:
        rules = [_renamed(rule, _ENCRYPTION) for rule in given["BucketEncryption"]["ServerSideEncryptionConfiguration"]]
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules})
    if "PublicAccessBlockConfiguration" in given:
        block = {key: flag(value) for key, value in given["PublicAccessBlockConfiguration"].items()}
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=block)
    if "OwnershipControls" in given:
        s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=given["OwnershipControls"])
    if "VersioningConfiguration" in given:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=given["VersioningConfiguration"])
    if "LifecycleConfiguration" in given:
        rules = [_lifecycle_rule(rule) for rule in given["LifecycleConfiguration"]["Rules"]]
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    if given.get("Tags"):
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": given["Tags"]})


def _update_bucket(change: ResourceUpdate) -> None:
    bucket, s3 = change.physical_id, change.api.s3
    gone = {
        "BucketEncryption": s3.delete_bucket_encryption,
        "PublicAccessBlockConfiguration": s3.delete_public_access_block,
        "OwnershipControls": s3.delete_bucket_ownership_controls,
        "LifecycleConfiguration": s3.delete_bucket_lifecycle,
        "Tags": s3.delete_bucket_tagging,
    }
    for name, delete in gone.items():
        if name in change.old and name not in change.new:
            delete(Bucket=bucket)
    _configure_bucket(change.api, bucket, {name: change.new[name] for name in change.new if change.differs(name)})


_ENCRYPTION = {"ServerSideEncryptionByDefault": "ApplyServerSideEncryptionByDefault"}


def _renamed(rule: Properties, renamed: dict[str, str]) -> Properties:
    return {renamed.get(key, key): value for key, value in rule.items()}


def _lifecycle_rule(rule: Properties) -> Properties:
    """Return a rule of the template in the API's form."""
    made: dict[str, Any] = {"Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    if "Id" in rule:
        made["ID"] = rule["Id"]
    if "ExpirationInDays" in rule:
        made["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    if "AbortIncompleteMultipartUpload" in rule:
        days = int(rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"])
        made["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": days}
    if "NoncurrentVersionExpiration" in rule:
        days = int(rule["NoncurrentVersionExpiration"]["NoncurrentDays"])
        made["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
    known = names("Status Prefix Id ExpirationInDays AbortIncompleteMultipartUpload NoncurrentVersionExpiration")
    if unknown := rule.keys() - known:
        raise ResourceRefused(f"lifecycle rules with {', '.join(sorted(unknown))} are not emulated")
    return made


def _delete_bucket(api: Api, bucket: str, _: Properties) -> None:
    api.s3.delete_bucket(Bucket=bucket)


def _put_bucket_policy(api: Api, given: Properties) -> None:
    api.s3.put_bucket_policy(Bucket=given["Bucket"], Policy=json.dumps(given["PolicyDocument"], default=str))


def _create_bucket_policy(request: ResourceRequest) -> CreatedResource:
    _put_bucket_policy(request.api, request.properties)
    return CreatedResource(request.properties["Bucket"])


def _create_repository(request: ResourceRequest) -> CreatedResource:
    given = request.properties
    arguments: dict[str, Any] = {"imageTagMutability": given.get("ImageTagMutability", "MUTABLE")}
    if "EncryptionConfiguration" in given:
        encryption = given["EncryptionConfiguration"]
        arguments["encryptionConfiguration"] = _renamed(encryption, {"EncryptionType": "encryptionType"})
    repository = request.api.ecr.create_repository(
        repositoryName=given.get("RepositoryName", request.name.lower()),
        imageScanningConfiguration=_scanning(given),
        tags=request.tags,
        **arguments,
    )["repository"]
    name = repository["repositoryName"]
    request.exists(name)
    if "LifecyclePolicy" in given:
        _put_lifecycle(request.api, name, given)
    if "RepositoryPolicyText" in given:
        _put_repository_policy(request.api, name, given)
    return CreatedResource(name, {"Arn": repository["repositoryArn"], "RepositoryUri": repository["repositoryUri"]})


def _scanning(given: Properties) -> dict[str, bool]:
    return {"scanOnPush": flag(given.get("ImageScanningConfiguration", {}).get("ScanOnPush", False))}


def _put_lifecycle(api: Api, name: str, given: Properties) -> None:
    policy = given["LifecyclePolicy"]["LifecyclePolicyText"]
    api.ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=policy)


def _put_repository_policy(api: Api, name: str, given: Properties) -> None:
    policy = json.dumps(given["RepositoryPolicyText"], default=str)
    api.ecr.set_repository_policy(repositoryName=name, policyText=policy)


def _update_repository(change: ResourceUpdate) -> None:
    ecr, name, new = change.api.ecr, change.physical_id, change.new
    if change.differs("ImageTagMutability"):
        ecr.put_image_tag_mutability(repositoryName=name, imageTagMutability=new.get("ImageTagMutability", "MUTABLE"))
    if change.differs("ImageScanningConfiguration"):
        ecr.put_image_scanning_configuration(repositoryName=name, imageScanningConfiguration=_scanning(new))
    if change.differs("LifecyclePolicy"):
        if "LifecyclePolicy" in new:
            _put_lifecycle(change.api, name, new)
        else:
            ecr.delete_lifecycle_policy(repositoryName=name)
    if change.differs("RepositoryPolicyText"):
        if "RepositoryPolicyText" in new:
            _put_repository_policy(change.api, name, new)
        else:
            ecr.delete_repository_policy(repositoryName=name)
    if change.differs("Tags"):
        arn = f"arn:aws:ecr:{change.api.region}:{change.api.account}:repository/{name}"
        if dropped := dropped_tags(change):
            ecr.untag_resource(resourceArn=arn, tagKeys=dropped)
        ecr.tag_resource(resourceArn=arn, tags=new.get("Tags", []))


def _delete_repository(api: Api, name: str, given: Properties) -> None:
    api.ecr.delete_repository(repositoryName=name, force=flag(given.get("EmptyOnDelete", False)))


def _log_group_arn(api: Api, name: str) -> str:
    return f"arn:aws:logs:{api.region}:{api.account}:log-group:{name}"


def _create_log_group(request: ResourceRequest) -> CreatedResource:
    given = request.properties
    name = given.get("LogGroupName", request.name)
    tags = {"tags": tag_map(request.tags)} if request.tags else {}
    request.api.logs.create_log_group(logGroupName=name, **tags)
    request.exists(name)
    if "RetentionInDays" in given:
        request.api.logs.put_retention_policy(logGroupName=name, retentionInDays=int(given["RetentionInDays"]))
    return CreatedResource(name, {"Arn": f"{_log_group_arn(request.api, name)}:*"})


def _update_log_group(change: ResourceUpdate) -> None:
    logs, name = change.api.logs, change.physical_id
    if change.differs("RetentionInDays"):
        if "RetentionInDays" in change.new:
            logs.put_retention_policy(logGroupName=name, retentionInDays=int(change.new["RetentionInDays"]))
        else:
            logs.delete_retention_policy(logGroupName=name)
    if change.differs("Tags"):
        arn = _log_group_arn(change.api, name)
        if dropped := dropped_tags(change):
            logs.untag_resource(resourceArn=arn, tagKeys=dropped)
        logs.tag_resource(resourceArn=arn, tags=tag_map(change.new.get("Tags", [])))


_QUEUE_ATTRIBUTES = (
    "DelaySeconds MaximumMessageSize MessageRetentionPeriod ReceiveMessageWaitTimeSeconds VisibilityTimeout "
    "SqsManagedSseEnabled KmsMasterKeyId"
)


def _queue_attributes(given: Properties) -> dict[str, str]:
    texts = {name: given[name] for name in _QUEUE_ATTRIBUTES.split() if name in given}
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in texts.items()}


def _create_queue(request: ResourceRequest) -> CreatedResource:
    given, sqs = request.properties, request.api.sqs
    name = given.get("QueueName", request.name[:80])
    url = sqs.create_queue(QueueName=name, Attributes=_queue_attributes(given), tags=tag_map(request.tags))["QueueUrl"]
    arn = f"arn:aws:sqs:{request.api.region}:{request.api.account}:{name}"
    return CreatedResource(url, {"Arn": arn, "QueueName": name, "QueueUrl": url})


def _update_queue(change: ResourceUpdate) -> None:
    sqs, url = change.api.sqs, change.physical_id
    if attributes := _queue_attributes({name: change.new[name] for name in change.new if change.differs(name)}):
        sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    if change.differs("Tags"):
        if dropped := dropped_tags(change):
            sqs.untag_queue(QueueUrl=url, TagKeys=dropped)
        sqs.tag_queue(QueueUrl=url, Tags=tag_map(change.new.get("Tags", [])))


def _put_queue_policy(api: Api, given: Properties, policy: str) -> None:
    for url in given["Queues"]:
        api.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})


def _create_queue_policy(request: ResourceRequest) -> CreatedResource:
    given = request.properties
    _put_queue_policy(request.api, given, json.dumps(given["PolicyDocument"], default=str))
    return CreatedResource(request.name)


def _update_queue_policy(change: ResourceUpdate) -> None:
    _put_queue_policy(change.api, change.new, json.dumps(change.new["PolicyDocument"], default=str))


HANDLERS = {
    "AWS::S3::Bucket": Handler(
        create=_create_bucket,
        delete=_delete_bucket,
        properties=names(
            "BucketName BucketEncryption PublicAccessBlockConfiguration OwnershipControls VersioningConfiguration "
            "LifecycleConfiguration"
        ),
        mutable=names(
            "BucketEncryption PublicAccessBlockConfiguration OwnershipControls VersioningConfiguration "
            "LifecycleConfiguration"
        ),
        update=_update_bucket,
    ),
    "AWS::S3::BucketPolicy": Handler(
        create=_create_bucket_policy,
        delete=lambda api, bucket, _: api.s3.delete_bucket_policy(Bucket=bucket),
        properties=names("Bucket PolicyDocument"),
        mutable=names("PolicyDocument"),
        update=lambda change: _put_bucket_policy(change.api, change.new),
        taggable=False,
    ),
    "AWS::ECR::Repository": Handler(
        create=_create_repository,
        delete=_delete_repository,
        properties=names(
            "RepositoryName ImageTagMutability ImageScanningConfiguration EncryptionConfiguration LifecyclePolicy "
            "RepositoryPolicyText EmptyOnDelete"
        ),
        mutable=names(
            "ImageTagMutability ImageScanningConfiguration LifecyclePolicy RepositoryPolicyText EmptyOnDelete"
        ),
        update=_update_repository,
    ),
    "AWS::Logs::LogGroup": Handler(
        create=_create_log_group,
        delete=lambda api, name, _: api.logs.delete_log_group(logGroupName=name),
        properties=names("LogGroupName RetentionInDays"),
        mutable=names("RetentionInDays"),
        update=_update_log_group,
    ),
    "AWS::SQS::Queue": Handler(
        create=_create_queue,
        delete=lambda api, url, _: api.sqs.delete_queue(QueueUrl=url),
        properties=names(f"QueueName {_QUEUE_ATTRIBUTES}"),
        mutable=names(_QUEUE_ATTRIBUTES),
        update=_update_queue,
    ),
    "AWS::SQS::QueuePolicy": Handler(
        create=_create_queue_policy,
        delete=lambda api, _, given: _put_queue_policy(api, given, ""),
        properties=names("Queues PolicyDocument"),
        mutable=names("PolicyDocument"),
        update=_update_queue_policy,
        taggable=False,
    ),
}
