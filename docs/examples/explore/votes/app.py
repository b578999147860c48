"""Counts a vote in DynamoDB."""

import boto3

candidates = boto3.resource("dynamodb").Table("candidates")


def handler(event, context):
    counted = candidates.update_item(
        Key={"candidate": event["candidate"]},
        UpdateExpression="ADD votes :one",
        ExpressionAttributeValues={":one": 1},
        ReturnValues="UPDATED_NEW",
    )
    return {"votes": int(counted["Attributes"]["votes"])}
