"""The page's own files as they are served; a plain page says so where they were not built."""

from pathlib import PurePath

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from harness.errors import HarnessError
from harness.page.assets import AssetName, read_asset

_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
_FILES: tuple[AssetName, ...] = ("page.js", "page.css", "icon.svg", "LICENSES.txt")
_META = '<meta name="page-token" content="'
_NOT_BUILT = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Lambda harness</title></head>
<body>
<h1>The page is not built</h1>
<p>Its server runs, and follows the project's stacks: <a href="api/state">state</a>, <a href="metrics">metrics</a>.</p>
<p>Build it: <code>make page</code> in a clone of the harness, then reload.</p>
</body>
</html>
"""


def document_routes(post_token: str) -> list[Route]:
    """Return the routes of the page's files.

    Args:
        post_token: What the page sends along with requests that change something.
    """

    async def page(_request: Request) -> Response:
        try:
            content = read_asset("page.html").decode()
        except HarnessError:
            return HTMLResponse(_NOT_BUILT)
        return HTMLResponse(content.replace(_META, _META + post_token, 1))

    async def file(request: Request) -> Response:
        name = request.url.path.removeprefix("/")
        try:
            content = next(read_asset(one) for one in _FILES if one == name)
        except HarnessError as error:
            return PlainTextResponse(str(error), 404)
        return Response(content, media_type=_TYPES[PurePath(name).suffix])

    return [Route("/", page), *(Route(f"/{name}", file) for name in _FILES)]
