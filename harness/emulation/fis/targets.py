"""The functions that a target selects.

https://docs.aws.amazon.com/fis/latest/userguide/targets.html
"""

import random
from typing import Any

from harness.emulation.fis.templates import SELECTION


def selected_functions(target: dict[str, Any], functions: Any) -> list[str]:  # noqa: ANN401 - boto3's client
    """Return the ARNs of the functions that a checked target selects, sorted.

    COUNT and PERCENT choose at random, but the same of the same functions each time, so that an experiment repeats.

    Args:
        target: The target, as in the template.
        functions: A client of the Lambda service.
    """
    pages = functions.get_paginator("list_functions").paginate()
    existing = [function["FunctionArn"] for page in pages for function in page["Functions"]]
    wanted: dict[str, str] = target.get("resourceTags") or {}
    if wanted:
        found = [arn for arn in existing if wanted.items() <= _tags(arn, functions).items()]
    else:
        found = [arn for arn in existing if arn in target["resourceArns"]]
    return _selection(sorted(found), target["selectionMode"])


def _tags(arn: str, functions: Any) -> dict[str, str]:  # noqa: ANN401 - boto3's client
    tags: dict[str, str] = functions.list_tags(Resource=arn)["Tags"]
    return tags


def _selection(found: list[str], mode: str) -> list[str]:
    match = SELECTION.fullmatch(mode)
    if match is None or match["kind"] is None:
        return found
    # A share of the targets is rounded down, as the page above says.
    count = int(match["n"]) if match["kind"] == "COUNT" else len(found) * int(match["n"]) // 100
    return sorted(random.Random(" ".join(found)).sample(found, min(count, len(found))))
