"""One worker of a data-parallel training: logistic regression by averaged gradients, exchanged through S3.

    rank 0   gradient of its rows | put 7/0 | get 7/0 7/1 7/2, add them in this order | step
    rank 1   gradient of its rows | put 7/1 | get 7/0 7/1 7/2, add them in this order | step
    rank 2   ...

All ranks add the same numbers in the same order, so their models are equal bit for bit.
Objects are written once and stay: a worker that dies reads what is there, and catches up with the others.
"""

import json
import math
import time

import boto3
from botocore.exceptions import ClientError

s3 = boto3.client("s3")


def handler(event, context):
    rank, n, bucket, run = event["rank"], event["n"], event["bucket"], event["run"]
    rows = json.loads(s3.get_object(Bucket=bucket, Key=f"data/{rank}.json")["Body"].read())
    weights = [0.0] * len(rows[0]["x"])
    for number in range(event["rounds"]):
        loss, gradient = loss_and_gradient(weights, rows)
        put_once(bucket, f"{run}/{number}/{rank}", {"loss": loss, "gradient": gradient, "rows": len(rows)})
        parts = [get(bucket, f"{run}/{number}/{other}", context) for other in range(n)]
        count = sum(part["rows"] for part in parts)
        total = [math.fsum(values) for values in zip(*(part["gradient"] for part in parts), strict=True)]
        weights = [w - event["rate"] * g / count for w, g in zip(weights, total, strict=True)]
        if rank == 0:
            print(f"round {number}: loss {math.fsum(part['loss'] for part in parts) / count:.4f}")
    s3.put_object(Bucket=bucket, Key=f"{run}/model/{rank}", Body=json.dumps(weights))
    return {"rank": rank, "rounds": event["rounds"]}


def loss_and_gradient(weights, rows):
    """Sums over the rows, not means: n workers then compute what one would on all rows."""
    loss, gradient = 0.0, [0.0] * len(weights)
    for row in rows:
        z = math.fsum(w * x for w, x in zip(weights, row["x"], strict=True))
        p = 1 / (1 + math.exp(-z))
        loss -= math.log(p if row["y"] else 1 - p)
        for i, x in enumerate(row["x"]):
            gradient[i] += (p - row["y"]) * x
    return loss, gradient


def put_once(bucket, key, part):
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(part), IfNoneMatch="*")
    except ClientError as error:
        # An earlier attempt of this rank was here: the part is the same.
        if error.response["Error"]["Code"] != "PreconditionFailed":
            raise


def get(bucket, key, context):
    pause = 0.005
    while True:
        try:
            return json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        except s3.exceptions.NoSuchKey:
            if context.get_remaining_time_in_millis() < 5_000:
                raise TimeoutError(f"{key} did not come") from None
        time.sleep(pause)
        pause = min(2 * pause, 0.2)
