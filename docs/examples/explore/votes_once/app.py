"""Counts a vote in DynamoDB, once for each ballot: correct by an idempotency key that is stored with the count."""

import boto3

dynamodb = boto3.client("dynamodb")


def handler(event, context):
    ballot = {"TableName": "ballots", "Item": {"vote": {"S": event["vote"]}}}
    count = {
        "TableName": "candidates",
        "Key": {"candidate": {"S": event["candidate"]}},
        "UpdateExpression": "ADD votes :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }
    try:
        dynamodb.transact_write_items(
            TransactItems=[
                {"Put": {**ballot, "ConditionExpression": "attribute_not_exists(vote)"}},
                {"Update": count},
            ]
        )
    except dynamodb.exceptions.TransactionCanceledException as error:
        if error.response["CancellationReasons"][0]["Code"] != "ConditionalCheckFailed":
            raise
        return {"counted": False}
    return {"counted": True}
