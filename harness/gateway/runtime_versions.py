"""The versions of AWS's runtimes, as INIT_START and `RuntimeVersionConfig` name them.

AWS updates a runtime every few weeks and gives each version a number and an ARN of its own; ours stand for them.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-update.html
"""

import hashlib

from harness.gateway import limits

_NUMBER = 95


def runtime_version(runtime: str) -> str:
    """Return a runtime's version: `python:3.11.v95` for `python3.11`."""
    language = runtime.rstrip("0123456789.")
    return f"{language}:{runtime.removeprefix(language)}.v{_NUMBER}"


def runtime_version_arn(runtime: str) -> str:
    """Return the ARN of a runtime's version."""
    digest = hashlib.sha256(runtime_version(runtime).encode()).hexdigest()
    return f"arn:aws:lambda:{limits.REGION}::runtime:{digest}"
