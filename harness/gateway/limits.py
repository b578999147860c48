"""AWS Lambda's limits and defaults, each with its source.

Quotas: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
Asynchronous invocation: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

import platform
from typing import Literal

SYNC_PAYLOAD_BYTES = 6 * 1024 * 1024
ASYNC_PAYLOAD_BYTES = 1024 * 1024
# The runtime API accepts a little more than 6 MiB, to leave room for its own framing.
RESPONSE_BYTES = 6_291_556
LOG_TAIL_BYTES = 4096
# A deployment package; each must be smaller than this.
ZIPPED_BYTES = 52_428_800
UNZIPPED_BYTES = 262_144_000
MOST_LAYERS = 5
# https://docs.aws.amazon.com/lambda/latest/api/API_AddLayerVersionPermission.html
POLICY_BYTES = 20_480
# CreateFunction and UpdateFunctionCode, with the package in base64.
CODE_REQUEST_BYTES = 70_167_211
# All versions of all functions and layers.
TOTAL_CODE_BYTES = 80_530_636_800
ENVIRONMENT_VARIABLES_BYTES = 4096

# https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
RECURSIVE_INVOCATIONS = 16

MOST_MEMORY_MB = 10_240
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
LEAST_UNRESERVED = 100

DEFAULT_MEMORY_MB = 128
DEFAULT_TIMEOUT_S = 3
DEFAULT_EPHEMERAL_STORAGE_MB = 512
DEFAULT_TRACING = "PassThrough"

RETRY_DELAYS_S = (60.0, 120.0)
DEFAULT_RETRIES = 2
DEFAULT_EVENT_AGE_S = 21_600
THROTTLED_FIRST_DELAY_S = 1.0
THROTTLED_LONGEST_DELAY_S = 300.0

# AWS's name of this machine's processor architecture.
ARCHITECTURE: Literal["x86_64", "arm64"] = "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"

ACCOUNT_ID = "123456789012"
# The role of functions that were not deployed; it restricts nothing.
ANY_ROLE = f"arn:aws:iam::{ACCOUNT_ID}:role/lambda-harness"
REGION = "us-east-1"
