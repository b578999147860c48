"""Adds a guest to a list in S3, once for each registration, without losing anybody's: correct by conditional writes."""

import json

import boto3
from botocore.exceptions import ClientError

s3 = boto3.client("s3")


def handler(event, context):
    while True:
        found = s3.get_object(Bucket="guests", Key="list.json")
        guests = json.loads(found["Body"].read())
        if event["registration"] in guests:
            return {"guests": len(guests)}
        guests[event["registration"]] = event["name"]
        try:
            s3.put_object(Bucket="guests", Key="list.json", Body=json.dumps(guests), IfMatch=found["ETag"])
        except ClientError as error:
            # Somebody else has written since: read again.
            if error.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise
        else:
            return {"guests": len(guests)}
