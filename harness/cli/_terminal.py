"""Untrusted text on the terminal: the output of functions, values in a cache or a bucket, answers of services.

A terminal obeys escape sequences: they move the cursor, rewrite earlier output, set the title, and fake typed input.
"""

import re
import sys

import click

# Control characters except tab and line feed, those of Latin-1 included, and marks that reverse text direction.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""Return the text with control characters as escapes, such as `\x1b`; tabs and line feeds stay."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def echo(text: str | bytes, *, err: bool = False, nl: bool = True) -> None:
    """Print untrusted text: with escapes on a terminal, unchanged into a file or a pipe."""
    if (sys.stderr if err else sys.stdout).isatty():
        text = printable(text.decode(errors="replace") if isinstance(text, bytes) else text)
    click.echo(text, err=err, nl=nl)
