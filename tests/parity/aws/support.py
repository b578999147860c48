"""What the tests of AWS's behaviour share: packages, and the parts of answers."""

import io
import json
import time
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError


def archive(source: str, **others: str) -> bytes:
    """Return a deployment package with the module `app` and other files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        for name, text in {"app.py": source, **others}.items():
            information = zipfile.ZipInfo(name)
            information.external_attr = 0o755 << 16
            package.writestr(information, text)
    return buffer.getvalue()


def refusal(call: Callable[..., Any], **arguments: Any) -> tuple[str, int, str]:
    """Return the code, the HTTP status and the message with which a call is refused."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


def answer_of(invoked: dict[str, Any]) -> Any:
    """Return the decoded answer of an invocation."""
    return json.loads(invoked["Payload"].read())


def eventually(check: Callable[[], Any], within_s: float = 60.0) -> Any:
    """Return the first answer of a check that is true; ask again after growing pauses, and at last return what it is.

    Args:
        check: Asks AWS.
        within_s: How long to ask.
    """
    deadline, pause_s = time.monotonic() + within_s, 0.01
    while not (answer := check()) and time.monotonic() < deadline:
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 5.0)
    return answer
