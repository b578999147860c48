def prepare(client):
    dynamodb = client("dynamodb")
    dynamodb.create_table(
        TableName="candidates",
        KeySchema=[{"AttributeName": "candidate", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "candidate", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
