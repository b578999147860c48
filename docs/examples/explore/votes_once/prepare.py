def prepare(client):
    dynamodb = client("dynamodb")
    for table, key in {"candidates": "candidate", "ballots": "vote"}.items():
        dynamodb.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
