"""X-Ray's trace ids, which identify a chain of invocations; nothing is sampled here.

https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
"""

import os
import re
import time

_ROOT = re.compile(r"\bRoot=(1-[0-9a-f]{8}-[0-9a-f]{24})(?![0-9a-f])")


def trace_of(header: str) -> str:
    """Return the trace id of an invocation, as the function finds it in `_X_AMZN_TRACE_ID`.

    Args:
        header: The caller's `X-Amzn-Trace-Id`, which botocore sends from within a function; empty if there is none.
    """
    called = _ROOT.search(header) if header else None
    random = os.urandom(20).hex()
    root = called[1] if called else f"1-{int(time.time()):08x}-{random[:24]}"
    return f"Root={root};Parent={random[24:]};Sampled=0"
