"""Opening the page: a server in the background is there afterwards, its address is printed, and a browser shows it."""

import http.client
import os
import signal
import subprocess
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from harness.errors import HarnessError
from harness.page.address import LOCALHOST, PageAddress, load_address, page_code_sha256
from harness.page.server import END
from harness.settings import Settings
from harness.stack.folders import open_state_dir
from harness.stack.lock import file_lock
from harness.stack.service import python_module
from harness.system.disk import writing_into
from harness.system.private_files import PRIVATE_FILE
from harness.system.probes import wait_until
from harness.system.process_life import ProcessIdentity, inherited_environment, is_alive

LOG_FILE = "page.log"
READY_WITHIN_S, ENDED_WITHIN_S, ANSWER_WITHIN_S = 30.0, 10.0, 5.0
_BROWSERS = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
_SHOWN = ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR")


def open_page(settings: Settings, say: Callable[[str], object]) -> PageAddress:
    """Make sure that the page is served, print its address, and show it in a browser if there may be one.

    Args:
        settings: The project's settings.
        say: Prints a line.

    Raises:
        HarnessError: The server does not start.
    """
    address = ensure_server(settings)
    say(f"page: {address.url}")
    show_in_browser(address.url_for_once)
    return address


def ensure_server(settings: Settings) -> PageAddress:
    """Return the address of the page's server, starting one in the background if none runs.

    Raises:
        HarnessError: It does not start.
    """
    state_dir = settings.state_dir
    with writing_into(state_dir):
        open_state_dir(state_dir)
    with file_lock(state_dir / "page.lock"):
        running = running_server(settings)
        if running is not None and running.code_sha256 == page_code_sha256():
            return running
        if running is not None:
            _stop(running)
        return _start(settings)


def running_server(settings: Settings) -> PageAddress | None:
    """Return the address of the server that runs; None if none does."""
    address = load_address(settings.state_dir)
    return address if address is not None and address.server is not None else None


def end_server(settings: Settings) -> bool | None:
    """Ask the server to end, and wait until it has; it stays if a browser shows the page.

    Returns:
        Whether it has ended; None if none ran.
    """
    address = running_server(settings)
    if address is None or address.server is None:
        return None
    answer = _ask_to_end(address)
    if answer is False:
        return False
    if answer is None:
        _signal(address.server, signal.SIGTERM)
    _wait_for_end(address.server)
    return True


def show_in_browser(url: str) -> bool:
    """Open an address in the user's browser; return whether there may be one."""
    if not any(os.environ.get(name) for name in _BROWSERS):
        return False
    with suppress(webbrowser.Error):
        return webbrowser.open(url)
    return False


def _start(settings: Settings) -> PageAddress:
    state_dir = settings.state_dir
    log = state_dir / LOG_FILE
    environment = inherited_environment() | {name: os.environ[name] for name in _SHOWN if name in os.environ}
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE), "wb") as output:
        process = subprocess.Popen(
            [*python_module("harness.page"), str(settings.root)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd=settings.root,
            start_new_session=True,
        )

    def ready() -> bool:
        found = running_server(settings)
        return process.poll() is not None or (found is not None and found.pid == process.pid)

    arrived = wait_until(ready, READY_WITHIN_S)
    found = running_server(settings)
    if found is None or found.pid != process.pid:
        if not arrived:
            process.kill()
        process.wait()
        raise HarnessError("the page's server does not start", _last_line(log), f"all of its log: {log}")
    # It outlives this process, so pretend that it was waited for.
    process.returncode = 0
    return found


def _ask_to_end(address: PageAddress) -> bool | None:
    """Return whether the server ends; None if it does not answer."""
    connection = http.client.HTTPConnection(LOCALHOST, address.port, timeout=ANSWER_WITHIN_S)
    headers = {"Authorization": f"Bearer {address.token}", "X-Page-Token": address.post_token}
    try:
        connection.request("POST", END, headers=headers)
        answer = connection.getresponse()
        return bool(msgspec.json.decode(answer.read(), type=dict[str, bool])["ended"])
    except (OSError, http.client.HTTPException, msgspec.MsgspecError, KeyError):
        return None
    finally:
        connection.close()


def _stop(address: PageAddress) -> None:
    if address.server is not None:
        _signal(address.server, signal.SIGTERM)
        _wait_for_end(address.server)


def _wait_for_end(server: ProcessIdentity) -> None:
    if not wait_until(lambda: not is_alive(server), ENDED_WITHIN_S):
        _signal(server, signal.SIGKILL)
        wait_until(lambda: not is_alive(server), ENDED_WITHIN_S)


def _signal(server: ProcessIdentity, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(server.pid, number)


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line.strip()), "")
