"""Reads the files of S3's notifications, and sends each order as a message."""

import csv
import json
import os
from urllib.parse import unquote_plus

import boto3

s3, sqs = boto3.client("s3"), boto3.client("sqs")


def handler(event, context):
    sent = 0
    for record in event["Records"]:
        bucket = record["s3"]["bucket"]["name"]
        # A notification quotes the key as in a URL.
        key = unquote_plus(record["s3"]["object"]["key"])
        text = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
        for order in csv.DictReader(text.splitlines()):
            sqs.send_message(QueueUrl=os.environ["ORDERS"], MessageBody=json.dumps({"file": key, **order}))
            sent += 1
        print(f"{key}: {sent} orders")
    return {"sent": sent}
