def prepare(client):
    for table, key in {"payments": "reference", "idempotency": "id"}.items():
        client("dynamodb").create_table(
            TableName=table,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )


# Powertools' own records: a payment counts, not how often it was asked for.
ignore = ["dynamodb://idempotency/*"]
# The decorator refuses a second attempt until the first one's time limit (timeout_s in harness.toml) has passed.
# Lambda's retry comes after a minute, and here after so many seconds.
retry_after_s = 2.2
