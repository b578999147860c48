"""X-Ray's trace headers, which identify a chain of invocations.

https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
"""

import os
import re
import time

_ROOT = re.compile(r"\bRoot=(1-[0-9a-f]{8}-[0-9a-f]{24})(?![0-9a-f])")
_PARENT = re.compile(r"\bParent=([0-9a-f]{16})(?![0-9a-f])")
_SAMPLED = re.compile(r"\bSampled=([01])\b")
_LINEAGE = re.compile(r"\bLineage=([0-9a-f:|]+)")


def trace_of(header: str, *, active: bool = False) -> str:
    """Return the trace header of an invocation, as the function finds it in `_X_AMZN_TRACE_ID`.

    Args:
        header: The caller's `X-Amzn-Trace-Id`, which botocore sends from within a function; empty if there is none.
        active: Whether the function's tracing is `Active`: it is sampled unless the caller has decided otherwise.
    """
    random = os.urandom(24).hex()
    root = _in(header, _ROOT) or f"1-{int(time.time()):08x}-{random[:24]}"
    parent = _in(header, _PARENT) or random[24:40]
    sampled = _in(header, _SAMPLED) or ("1" if active else "0")
    lineage = _in(header, _LINEAGE) or f"1:{random[40:]}:0"
    return f"Root={root};Parent={parent};Sampled={sampled};Lineage={lineage}"


def _in(header: str, pattern: re.Pattern[str]) -> str:
    found = pattern.search(header) if header else None
    return found[1] if found else ""
