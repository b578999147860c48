import json


def prepare(client):
    s3 = client("s3")
    s3.create_bucket(Bucket="guests")
    s3.put_object(Bucket="guests", Key="list.json", Body=json.dumps(["Ada"]))
