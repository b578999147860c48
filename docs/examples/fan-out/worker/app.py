"""Waits at a barrier until all workers of the run have come, and answers with who was there."""

import time

import boto3

s3 = boto3.client("s3")


def handler(event, context):
    run, rank, n = event["run"], event["rank"], event["n"]
    arrive(event["bucket"], run, rank)
    # Leave the last seconds for a clear error.
    seen = wait_for(event["bucket"], run, n, within_s=context.get_remaining_time_in_millis() / 1000 - 2)
    print(f"rank {rank} of {n} passed the barrier")
    return {"rank": rank, "seen": seen}


def arrive(bucket, run, rank):
    # Written once under a name of its own: a second delivery of the event changes nothing.
    s3.put_object(Bucket=bucket, Key=f"{run}/{rank:04}", Body=b"")


def wait_for(bucket, run, n, within_s):
    deadline, pause = time.monotonic() + within_s, 0.02
    while True:
        ranks = {int(found["Key"].rpartition("/")[2]) for found in listed(bucket, f"{run}/")}
        missing = sorted(set(range(n)) - ranks)
        if not missing:
            return len(ranks)
        if time.monotonic() > deadline:
            raise TimeoutError(f"these ranks did not come: {missing}")
        time.sleep(pause)
        pause = min(2 * pause, 0.5)


def listed(bucket, prefix):
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Contents", [])
