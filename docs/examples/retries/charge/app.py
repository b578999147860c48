"""Charges a customer once, however often Lambda delivers the event."""

import boto3

table = boto3.resource("dynamodb").Table("payments")


def handler(event, context):
    if table.get_item(Key={"order": event["order"]}).get("Item"):
        print(f"order {event['order']} is paid already")
        return {"paid": event["order"], "again": True}
    pay(event)
    table.put_item(Item={"order": event["order"], "amount": event["amount"]})
    return {"paid": event["order"], "again": False}


def pay(event):
    provider = table.get_item(Key={"order": "provider"}).get("Item")
    if provider and provider["state"] == "down":
        raise ConnectionError("the payment provider does not answer")
