"""The zone of this execution environment, which Lambda's metadata endpoint tells.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-metadata-endpoint.html
"""

import json
import os
from functools import cache
from http.client import HTTPConnection, HTTPException

_PATH = "/2026-01-15/metadata/execution-environment"
# It is on this very machine.
_ANSWER_WITHIN_S = 1.0


@cache
def own_zone() -> str:
    """Return the ID of this environment's zone, such as `use1-az1`; empty where no endpoint tells it."""
    address, token = (os.environ.get(f"AWS_LAMBDA_METADATA_{name}", "") for name in ("API", "TOKEN"))
    if not (address and token):
        return ""
    connection = HTTPConnection(address, timeout=_ANSWER_WITHIN_S)
    try:
        connection.request("GET", _PATH, headers={"Authorization": f"Bearer {token}"})
        return str(json.load(connection.getresponse()).get("AvailabilityZoneID", ""))
    except (OSError, HTTPException, ValueError, AttributeError):
        # A run does not depend on it.
        return ""
    finally:
        connection.close()
