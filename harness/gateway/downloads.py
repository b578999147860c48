"""Packages that callers download: links that hold for ten minutes, as AWS's links to its own S3 do.

Whoever has a link may use it; its signature covers the file and the time.
https://docs.aws.amazon.com/lambda/latest/api/API_FunctionCodeLocation.html
"""

import hmac
import time
from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

PREFIX = "/_downloads/"
_VALID_S = 600


class Downloads:
    """Makes and checks the links.

    Args:
        root: Contains every file that may be downloaded.
        secret: The stack's secret.
    """

    def __init__(self, root: Path, secret: str) -> None:
        self._root = root
        self._secret = secret.encode()

    def location(self, file: Path, address: str) -> str:
        """Return a link to a file.

        Args:
            file: A file below the root.
            address: The address by which the caller reaches the service, `http://host:port`.
        """
        name, expires = str(file.relative_to(self._root)), int(time.time()) + _VALID_S
        return f"{address}{PREFIX}{quote(name)}?Expires={expires}&Signature={self._signature(name, str(expires))}"

    def file_of(self, name: str, expires: str, signature: str) -> Path | None:
        """Return the file that a link leads to; None if it is not one of ours, or no longer valid."""
        if not hmac.compare_digest(signature.encode(), self._signature(name, expires).encode()):
            return None
        return self._root / name if time.time() < int(expires) else None

    def _signature(self, name: str, expires: str) -> str:
        return hmac.digest(self._secret, f"download {expires} {name}".encode(), "sha256").hex()


def download_routes(downloads: Downloads) -> list[Route]:
    """Return the route of the links."""

    async def download(request: Request) -> Response:
        query = request.query_params
        name = request.path_params["name"]
        file = downloads.file_of(name, query.get("Expires", ""), query.get("Signature", ""))
        if file is None:
            return JSONResponse({"Message": "Access Denied: the link is not valid, or has expired"}, status_code=403)
        if not file.is_file():
            return JSONResponse({"Message": "The package has been removed"}, status_code=404)
        return FileResponse(file, media_type="application/zip")

    return [Route(PREFIX + "{name:path}", download, methods=["GET"])]
