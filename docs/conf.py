"""The site: `make docs` builds it into build/site.

Every warning is an error. The reference is generated from the code into docs/generated before pages are read.
A link to a file outside of this folder is a download, except to documents that the site has as pages.
"""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "lambdas")]

from fixtures.site import pages  # noqa: E402 - found through the line above

project = "Lambda harness"
copyright = "the authors; Apache-2.0"  # noqa: A001 - Sphinx's name
release = pages.version()

extensions = ["myst_parser", "sphinx_click", "sphinx_copybutton"]
exclude_patterns = ["examples/*/*/**"]

myst_enable_extensions = ["colon_fence", "deflist", "substitution"]
myst_heading_anchors = 4
highlight_language = "text"
default_role = "code"  # help texts of commands have backticks for code
smartquotes = False  # two dashes begin a flag
# A button copies commands without the prompt and without their output.
copybutton_prompt_text = "$ "
copybutton_selector = ", ".join(f"div.highlight-{kind} pre" for kind in ("sh", "console", "toml", "python", "json"))

html_theme = "furo"
html_favicon = "static/icon.svg"
html_title = f"Lambda harness {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False

# Documents outside of this folder that are pages of the site, too.
_PAGES = {
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "CHANGELOG.md": "project/changelog.md",
    "benchmarks/README.md": "project/benchmarks.md",
}
_TO_A_PAGE = re.compile(rf"\]\((?:\.\./)+({'|'.join(map(re.escape, _PAGES))})")


def _link_to_pages(_app: Sphinx, docname: str, source: list[str]) -> None:
    """Let links to those documents lead to their pages, wherever they are in a page."""
    up = "../" * docname.count("/")
    source[0] = _TO_A_PAGE.sub(lambda found: f"]({up}{_PAGES[found[1]]}", source[0])


def _example_as_code(_app: Sphinx, _ctx: object, lines: list[str]) -> None:
    """Let the example of a command's help be a block of code, not lines of text."""
    try:
        start = lines.index("| Example:")
    except ValueError:
        return
    commands = [line.removeprefix("|").strip() for line in lines[start + 1 :]]
    lines[start:] = ["Example:", "", ".. code-block:: sh", "", *(f"   {line}" for line in commands), ""]


def _write_reference(_app: Sphinx) -> None:
    pages.write_pages()


def setup(app: Sphinx) -> None:
    """Register what happens before pages are read."""
    app.connect("builder-inited", _write_reference)
    app.connect("sphinx-click-process-description", _example_as_code)
    app.connect("source-read", _link_to_pages)
