"""Makes a day's report, once: a report that exists stays as it is, and only the inbox is cleared."""

import boto3
from botocore.exceptions import ClientError

s3 = boto3.client("s3")


def handler(event, context):
    found = s3.list_objects_v2(Bucket="inbox", Prefix=f"{event['day']}/").get("Contents", [])
    keys = [each["Key"] for each in found]
    rows = [s3.get_object(Bucket="inbox", Key=key)["Body"].read().decode() for key in keys]
    try:
        s3.put_object(Bucket="reports", Key=f"{event['day']}.csv", Body="\n".join(rows), IfNoneMatch="*")
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict"):
            raise
    for key in keys:
        s3.delete_object(Bucket="inbox", Key=key)
    return {"rows": len(rows)}
