def prepare(client):
    client("sqs").create_queue(QueueName="warehouse.fifo", Attributes={"FifoQueue": "true"})
    client("dynamodb").create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "order", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "order", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
