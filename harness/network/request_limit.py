"""Requests a second per prefix of S3: what each prefix has had within the last second, and which requests are too many.

S3 promises 5,500 reads and 3,500 writes a second for each prefix; a bucket may have any number of prefixes.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html

S3 divides prefixes as it likes and moves the borders under load. Here a prefix is a bucket and its keys up to their
last slash, and stays so.
"""

from collections import deque
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl, unquote

Kind = Literal["read", "write"]

_WINDOW_S = 1.0
# How many prefixes there may be before those that nobody has used for a second are forgotten.
_MOST_IDLE = 1024


class S3Request(NamedTuple):
    """A request to S3.

    Attributes:
        kind: `read` for GET and HEAD, lists included; `write` for all others.
        prefix: The bucket, and the key up to its last slash; for a list, the prefix that is listed.
    """

    kind: Kind
    prefix: str


def read_request(method: str, path: str, query: str) -> S3Request:
    """Return what a request in path style asks for.

    Args:
        method: Its method.
        path: Its path, quoted: `/BUCKET/KEY`.
        query: Its query, quoted.
    """
    kind: Kind = "read" if method in {"GET", "HEAD"} else "write"
    bucket, _, key = path.removeprefix("/").partition("/")
    if key:
        return S3Request(kind, unquote(f"{bucket}/{key}").rpartition("/")[0])
    listed = dict(parse_qsl(query)).get("prefix", "") if kind == "read" and query else ""
    return S3Request(kind, unquote(bucket) + f"/{listed}".rpartition("/")[0])


class RequestLimit:
    """Admits so many requests within any second, for each prefix by itself; those that are refused do not count.

    Args:
        reads: Reads a second.
        writes: Writes a second.
    """

    def __init__(self, reads: float, writes: float) -> None:
        self._limits = {"read": _limit(reads), "write": _limit(writes)}
        # When each admitted request of a prefix came, the oldest first; entries outside the window go with the next.
        self._admitted: dict[S3Request, deque[float]] = {}

    def admits(self, request: S3Request, now: float) -> bool:
        """Count a request unless it is one too many; return whether it may pass.

        Args:
            request: The request.
            now: The time, s, on a clock that never goes back.
        """
        most, window_s = self._limits[request.kind]
        times = self._admitted.get(request)
        if times is None:
            if len(self._admitted) >= _MOST_IDLE:
                self._forget_idle(now)
            times = self._admitted[request] = deque()
        while times and times[0] <= now - window_s:
            times.popleft()
        if len(times) >= most:
            return False
        times.append(now)
        return True

    def __len__(self) -> int:
        """Return how many prefixes are remembered, each once for its reads and once for its writes."""
        return len(self._admitted)

    def _forget_idle(self, now: float) -> None:
        for request, times in list(self._admitted.items()):
            if not times or times[-1] <= now - self._limits[request.kind][1]:
                del self._admitted[request]


def _limit(a_second: float) -> tuple[int, float]:
    """Return how many requests a window has, and its seconds: one second, or more for less than one request in it."""
    if a_second < 1:
        return 1, _WINDOW_S / a_second
    return int(a_second), _WINDOW_S
