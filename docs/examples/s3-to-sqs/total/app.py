"""Adds the orders of a batch of messages up; messages that are no orders are reported, and come again."""

import json
from collections import Counter

import boto3

s3 = boto3.client("s3")


def handler(event, context):
    totals, failed = Counter(), []
    for record in event["Records"]:
        try:
            order = json.loads(record["body"])
            totals[order["product"]] += int(order["quantity"])
        except (ValueError, KeyError) as error:
            print(f"message {record['messageId']} is no order: {error!r}")
            failed.append({"itemIdentifier": record["messageId"]})
    s3.put_object(Bucket="totals", Key="totals.json", Body=json.dumps(totals))
    return {"batchItemFailures": failed}
