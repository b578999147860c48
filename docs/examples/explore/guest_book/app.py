"""Adds a guest to a list in S3: reads the object, changes it, writes it back."""

import json

import boto3

s3 = boto3.client("s3")


def handler(event, context):
    guests = json.loads(s3.get_object(Bucket="guests", Key="list.json")["Body"].read())
    guests.append(event["name"])
    s3.put_object(Bucket="guests", Key="list.json", Body=json.dumps(guests))
    return {"guests": len(guests)}
