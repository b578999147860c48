"""Takes an order: remembers it, and tells the warehouse under the order's own key, however often it runs."""

import json

import boto3

orders = boto3.resource("dynamodb").Table("orders")
sqs = boto3.client("sqs")


def handler(event, context):
    # Repeating this changes nothing: the order's number is the key, and the item is the same.
    orders.put_item(Item={"order": event["order"], "items": event["items"]})
    queue = sqs.get_queue_url(QueueName="warehouse.fifo")["QueueUrl"]
    # For five minutes, the queue accepts a message of this id once.
    sqs.send_message(
        QueueUrl=queue,
        MessageBody=json.dumps({"ship": event["order"]}),
        MessageGroupId=event["order"],
        MessageDeduplicationId=event["order"],
    )
    return {"order": event["order"]}
