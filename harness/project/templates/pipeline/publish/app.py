"""Send totals to a queue."""

import json
import os

import boto3

sqs = boto3.client("sqs")


def handler(event, context):
    """Send one message with the event as its body."""
    queue = sqs.get_queue_url(QueueName=os.environ["QUEUE"])["QueueUrl"]
    message = sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(event))
    print(f"published {event['key']} as message {message['MessageId']}")
