"""Where the project's page is served: `.harness/page.json`, which only its owner may read, because it holds the token.

Port and token survive the server, so that a page that is open in a browser finds the next one.
"""

import hmac
import secrets
from pathlib import Path

import msgspec

from harness.errors import HarnessError
from harness.page.tickets import new_ticket
from harness.stack.code import code_sha256
from harness.system import records
from harness.system.private_files import write_private
from harness.system.process_life import ProcessIdentity, is_alive

LOCALHOST = "127.0.0.1"
MOST_PORT = 65_535
# What a server executes; one that is older than the files is replaced.
_PARTS = ("page", "insight", "history", "develop", "runs", "stack", "gateway", "system", "guard.py", "settings.py")


class PageAddress(msgspec.Struct, frozen=True, kw_only=True):
    """`page.json`.

    Attributes:
        port: The port, on the loopback interface; 0 before the first server.
        token: What a browser must present.
        pid: The server's process; 0 if none runs.
        started: That process's start time, in clock ticks after boot.
        code_sha256: Digest of the code that serves it.
    """

    port: int = 0
    token: str
    pid: int = 0
    started: int = 0
    code_sha256: str = ""

    @property
    def url(self) -> str:
        """Return the address to open in a browser."""
        return f"http://{LOCALHOST}:{self.port}/?token={self.token}"

    @property
    def url_for_once(self) -> str:
        """Return an address for the browser that a command opens; it holds no token."""
        return f"http://{LOCALHOST}:{self.port}/?ticket={new_ticket(self.token)}"

    @property
    def server(self) -> ProcessIdentity | None:
        """Return the server's process, or None if none runs."""
        identity = ProcessIdentity(self.pid, self.started)
        return identity if self.pid and is_alive(identity) else None

    @property
    def post_token(self) -> str:
        """Return what requests that change something must carry: the page knows it, a cookie alone does not."""
        return hmac.digest(self.token.encode(), b"post", "sha256").hex()


def page_code_sha256() -> str:
    """Return the digest of the code that serves the page."""
    return code_sha256(_PARTS)


def address_file(state_dir: Path) -> Path:
    """Return the path of the record."""
    return state_dir / "page.json"


def load_address(state_dir: Path) -> PageAddress | None:
    """Return the record; None if there is none, or if it is damaged and its server cannot be found any more."""
    try:
        found = records.decode(address_file(state_dir).read_bytes(), PageAddress)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    except OSError as error:
        raise HarnessError(
            f"the page's address cannot be read: {error.strerror}",
            str(address_file(state_dir)),
            "run the command as the file's owner",
        ) from error
    return found if found.token and 0 <= found.port <= MOST_PORT else None


def new_address() -> PageAddress:
    """Return a record with a new token, for a server that has no port yet."""
    return PageAddress(token=secrets.token_urlsafe(24))


def save_address(state_dir: Path, address: PageAddress) -> None:
    """Write the record, readable for its owner alone."""
    write_private(address_file(state_dir), records.encode(address))
