"""Takes an order: tells the warehouse, and then remembers that it has."""

import json

import boto3

orders = boto3.resource("dynamodb").Table("orders")
sqs = boto3.client("sqs")


def handler(event, context):
    if orders.get_item(Key={"order": event["order"]}).get("Item"):
        return {"order": event["order"], "new": False}
    queue = sqs.get_queue_url(QueueName="warehouse")["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps({"ship": event["order"]}))
    orders.put_item(Item={"order": event["order"], "items": event["items"]})
    return {"order": event["order"], "new": True}
