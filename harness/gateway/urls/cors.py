"""Which pages of other origins may read the answers of a function URL.

https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html#urls-cors
"""

from collections.abc import Mapping

from starlette.requests import Request

from harness.gateway.urls.store import Cors
from harness.gateway.urls.url_events import Headers


def is_preflight(request: Request) -> bool:
    """Return whether a browser asks what a page may do; the URL answers this by itself."""
    asks = {"origin", "access-control-request-method"}
    return request.method == "OPTIONS" and asks <= set(request.headers.keys())


def cors_headers(cors: Cors, headers: Mapping[str, str]) -> Headers:
    """Return the headers by which a browser lets a page read an answer; none for a page of another origin.

    Args:
        cors: The URL's settings.
        headers: The request's headers.
    """
    origin, allowed = headers.get("origin", ""), cors.allow_origins or []
    if not origin or not {"*", origin} & set(allowed):
        return []
    several = {
        "access-control-allow-methods": cors.allow_methods,
        "access-control-allow-headers": cors.allow_headers,
        "access-control-expose-headers": cors.expose_headers,
    }
    answer = [("access-control-allow-origin", "*" if "*" in allowed and not cors.allow_credentials else origin)]
    answer += [(name, ",".join(values)) for name, values in several.items() if values]
    answer += [("access-control-allow-credentials", "true")] if cors.allow_credentials else []
    answer += [("access-control-max-age", str(cors.max_age))] if cors.max_age is not None else []
    return [*answer, ("vary", "Origin")]
