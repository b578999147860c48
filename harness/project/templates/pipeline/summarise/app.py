"""Add up the orders in each new file of a bucket, and hand the totals on."""

import csv
import json
import os
from collections import Counter
from urllib.parse import unquote_plus

import boto3

s3 = boto3.client("s3")
functions = boto3.client("lambda")


def handler(event, context):
    """Handle S3's notification about new objects."""
    summaries = [summary(record["s3"]) for record in event["Records"]]
    for found in summaries:
        functions.invoke(FunctionName=os.environ["PUBLISH"], InvocationType="Event", Payload=json.dumps(found))
    return summaries


def summary(place):
    """Return the number of orders and the total of each product in an object."""
    # S3 encodes keys in its notifications as in a URL.
    bucket, key = place["bucket"]["name"], unquote_plus(place["object"]["key"])
    lines = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode().splitlines()
    totals, orders = Counter(), 0
    for order in csv.DictReader(lines):
        totals[order["product"]] += int(order["amount"])
        orders += 1
    print(f"{orders} orders in s3://{bucket}/{key}")
    return {"key": key, "orders": orders, "totals": totals}
