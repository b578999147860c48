"""Invokes one worker for each rank, asynchronously."""

import json
import os

import boto3

client = boto3.client("lambda")


def handler(event, context):
    n = event["n"]
    for rank in range(n):
        payload = {"rank": rank, "n": n, "bucket": event["bucket"], "run": context.aws_request_id}
        client.invoke(FunctionName=os.environ["WORKER"], InvocationType="Event", Payload=json.dumps(payload))
    return {"run": context.aws_request_id, "invoked": n}
