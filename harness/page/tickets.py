"""Tickets: what a browser is opened with instead of the token, because its arguments are in the list of processes.

A ticket admits once, for a minute. Whoever knows the token makes one without asking the server, which remembers those
that it has taken:

    <end, seconds since the epoch>-<random>.<HMAC of these by the token>
"""

import hmac
import secrets
import time

VALID_FOR_S = 60


def new_ticket(token: str) -> str:
    """Return a ticket."""
    text = f"{int(time.time()) + VALID_FOR_S}-{secrets.token_hex(8)}"
    return f"{text}.{_mac(token, text)}"


class Tickets:
    """The tickets of one server.

    Args:
        token: The page's token.
    """

    def __init__(self, token: str) -> None:
        self._token = token
        self._taken: dict[str, int] = {}

    def take(self, ticket: str) -> bool:
        """Return whether a ticket admits; it does not a second time."""
        text, _, mac = ticket.rpartition(".")
        if not hmac.compare_digest(mac.encode(), _mac(self._token, text).encode()):
            return False
        end, now = int(text.partition("-")[0]), time.time()
        self._taken = {taken: until for taken, until in self._taken.items() if until >= now}
        if end < now or text in self._taken:
            return False
        self._taken[text] = end
        return True


def _mac(token: str, text: str) -> str:
    return hmac.digest(token.encode(), f"ticket {text}".encode(), "sha256").hex()
