"""A report: the page in one file, with the views of one run or two, which any browser opens without a server.

    page.html + page.css + page.js + LICENSES.txt + views  -->  one HTML file

The file asks nobody for anything: its policy (`Content-Security-Policy`) permits the one script and the one style
sheet that it contains, by their checksums, and no request.
"""

import base64
import hashlib
import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from harness.errors import HarnessError
from harness.insight.view import RunView
from harness.page.assets import read_asset
from harness.page.thinning import half_as_fine

# A report of more is slow to open, and too large to send.
MOST_BYTES = 6_000_000
# A run's log has no bound; the rest of the page does.
MOST_BYTES_OF_LOGS = 2_000_000
# The elements around style, script and data, and what escapes make longer.
_ROOM_OF_MARKUP = 100_000

# The HTML parser ends a script at `</script`, opens a comment at `<!--`, and old scripts end a line at U+2028.
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def report_html(views: Sequence[RunView], logs: Sequence[Sequence[Mapping[str, Any]]] = ()) -> str:
    """Return the report of one run, or of two side by side, as the text of an HTML file.

    Args:
        views: One view or two.
        logs: The log lines of each run, as `/api/runs/ID/log` returns them (`at`, `function`, `request_id`, `rank`,
            `run_id`, `text`). The middle of a long log is left out, and a line says so.

    Raises:
        HarnessError: The page was not built, or the report would be larger than `MOST_BYTES` even with few bars.
    """
    style, script, licences = (read_asset(name).decode() for name in ("page.css", "page.js", "LICENSES.txt"))
    room = MOST_BYTES - len(style) - len(script) - len(licences) - _ROOM_OF_MARKUP
    kept = _fitting(views, room)
    share = min(MOST_BYTES_OF_LOGS, room - len(_embedded(kept))) // len(views)
    data = {"views": kept, "logs": [_shortened(lines, share) for lines in logs], "licences": licences}
    title = html.escape(" and ".join(view.run_id for view in views))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_policy(style, script)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Run {title}</title>
<style>{style}</style>
</head>
<body>
<noscript>This report needs JavaScript. It runs what this file contains, and asks no server for anything.</noscript>
<script type="application/json" id="report-data">{_embedded(data)}</script>
<script>{script}</script>
</body>
</html>
"""


def _fitting(views: Sequence[RunView], room: int) -> list[RunView]:
    """Thin views until their records need at most `room` bytes, as long as thinning helps."""
    kept, size = list(views), len(_embedded(views))
    while size > room:
        kept = [half_as_fine(view) for view in kept]
        before, size = size, len(_embedded(kept))
        if size > before * 0.9:
            raise HarnessError(
                f"the report would have {size / 1e6:.1f} MB; a browser opens at most {MOST_BYTES / 1e6:.0f} MB quickly",
                f"in run {' and '.join(view.run_id for view in views)}",
                "leave out RUN_B" if len(views) > 1 else "",
            )
    return kept


def _embedded(data: object) -> str:
    """Encode data as JSON that can stand within a script element, whatever its strings are."""
    return re.sub("[<>&\u2028\u2029]", lambda found: _ESCAPES[found[0]], msgspec.json.encode(data).decode())


def _policy(style: str, script: str) -> str:
    """Permit this style sheet and this script alone, and no request."""
    styles, scripts = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script))
    return (
        f"default-src 'none'; style-src 'sha256-{styles}'; script-src 'sha256-{scripts}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _shortened(lines: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """Leave out the middle of a log of more than `most` bytes; a line in its place says how much is missing."""
    sizes = [len(_embedded(line)) + 1 for line in lines]
    if sum(sizes) <= most:
        return list(lines)
    head, tail, kept = 0, len(lines), 0
    while head < tail and kept + sizes[head] + sizes[tail - 1] <= most:
        kept += sizes[head] + sizes[tail - 1]
        head, tail = head + 1, tail - 1
    note = f"... {tail - head:,} lines are left out of this report ..."
    missing = {**lines[head], "function": "", "request_id": "", "rank": None, "text": note}
    return [*lines[:head], missing, *lines[tail:]]
