"""Makes a day's report: collects the rows of the inbox in one file, and clears the inbox."""

import boto3

s3 = boto3.client("s3")


def handler(event, context):
    found = s3.list_objects_v2(Bucket="inbox", Prefix=f"{event['day']}/").get("Contents", [])
    keys = [each["Key"] for each in found]
    rows = [s3.get_object(Bucket="inbox", Key=key)["Body"].read().decode() for key in keys]
    s3.put_object(Bucket="reports", Key=f"{event['day']}.csv", Body="\n".join(rows))
    for key in keys:
        s3.delete_object(Bucket="inbox", Key=key)
    return {"rows": len(rows)}
