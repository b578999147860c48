"""Takes a payment with Powertools' idempotency decorator: the key is new in each attempt."""

import uuid

import boto3
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)

payments = boto3.resource("dynamodb").Table("payments")
store = DynamoDBPersistenceLayer(table_name="idempotency")
config = IdempotencyConfig(event_key_jmespath="reference")


def handler(event, context):
    config.register_lambda_context(context)
    return take(payment={"reference": str(uuid.uuid4()), "amount": event["amount"]})


@idempotent_function(data_keyword_argument="payment", persistence_store=store, config=config)
def take(payment):
    payments.put_item(Item=payment)
    return {"taken": payment["amount"]}
