"""Takes failed events from the dead-letter queue and invokes their function again."""

import json

import boto3

sqs, functions = boto3.client("sqs"), boto3.client("lambda")


def handler(event, context):
    again = 0
    while messages := sqs.receive_message(QueueUrl=event["queue"], MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            record = json.loads(message["Body"])
            functions.invoke(
                FunctionName=record["requestContext"]["functionArn"],
                InvocationType="Event",
                Payload=json.dumps(record["requestPayload"]),
            )
            sqs.delete_message(QueueUrl=event["queue"], ReceiptHandle=message["ReceiptHandle"])
            again += 1
    return {"again": again}
