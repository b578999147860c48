"""The page's server: one process per project, on the loopback interface.

    harness page             serves until Ctrl-C
    up, dev, run with --open start it in the background, where it ends by itself

In the background it ends when, for half a minute, no stack of the project was up and no browser was there; when its
record `page.json` was removed or names another server, as after the removal of the project; and when `harness down`
asks it to, unless a browser is there.
"""

import asyncio
import contextlib
import errno
import logging
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from harness.errors import HarnessError
from harness.gateway.server import config
from harness.page.access import PageAccess
from harness.page.address import LOCALHOST, PageAddress, load_address, new_address, page_code_sha256, save_address
from harness.page.api import api_routes
from harness.page.board import PageBoard
from harness.page.documents import document_routes
from harness.settings import Settings
from harness.stack.folders import open_state_dir
from harness.system.disk import writing_into
from harness.system.process_life import own_identity
from harness.system.signals import STOP_SIGNALS
from training.errors import TrainingError

logger = logging.getLogger(__name__)

IDLE_FOR_S, LOOK_EVERY_S = 30.0, 1.0
END = "/api/end"


def page_app(address: PageAddress, board: PageBoard, stop: Callable[[], None]) -> Starlette:
    """Return the application.

    Args:
        address: Where it is served.
        board: What the page knows.
        stop: Ends the server.
    """

    async def end(_request: Request) -> Response:
        """End the server, unless a browser is there."""
        staying = bool(board.visitors)
        if not staying:
            stop()
        return JSONResponse({"ended": not staying})

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(work) for work in (board.keep_watch(), board.keep_telling())]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def fail(_request: Request, error: Exception) -> Response:
        """Say in a line what cannot be read: a damaged file, or one that is removed just now."""
        return PlainTextResponse(str(error), 500)

    server_id = secrets.token_hex(8)
    return Starlette(
        routes=[
            *document_routes(address.post_token),
            *api_routes(board, server_id),
            Route(END, end, methods=["POST"]),
        ],
        middleware=[Middleware(PageAccess, address=address)],
        exception_handlers=dict.fromkeys((HarnessError, TrainingError, OSError), fail),
        lifespan=lifespan,
    )


def serve_page(
    settings: Settings, *, background: bool, ready: Callable[[PageAddress], object] = lambda _address: None
) -> None:
    """Serve the page until a signal asks for the end or, in the background, until nobody needs it.

    Args:
        settings: The project's settings.
        background: Whether the server ends by itself.
        ready: Called with the address once the server listens.
    """
    with writing_into(settings.state_dir):
        open_state_dir(settings.state_dir)
    listener, address = _listen(settings)
    with listener:
        server = PageServer(address, PageBoard(settings))
        save_address(settings.state_dir, address)
        try:
            ready(address)
            asyncio.run(server.serve_until_idle(listener, settings, background=background))
        finally:
            _forget(settings, address)


class PageServer(uvicorn.Server):
    """A server that ends its streams when it is asked to end.

    Args:
        address: Where it serves.
        board: What the page knows.
    """

    def __init__(self, address: PageAddress, board: PageBoard) -> None:
        app = page_app(address, board, self.stop)
        super().__init__(config(app, host=LOCALHOST, port=address.port))
        self._address, self._board = address, board

    def stop(self) -> None:
        """Ask the server to end."""
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `serve_until_idle`: uvicorn would raise them once more at its end."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams first: uvicorn would wait for them."""
        self._board.visitors.end()
        await super().shutdown(sockets)

    async def serve_until_idle(self, listener: socket.socket, settings: Settings, *, background: bool) -> None:
        """Serve until a signal arrives or, in the background, until nobody needs the page.

        Args:
            listener: The listening socket.
            settings: The project's settings.
            background: Whether the server ends by itself.
        """
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self.stop)
        watching = asyncio.create_task(self._watch(settings)) if background else None
        try:
            await self.serve(sockets=[listener])
        finally:
            if watching is not None:
                watching.cancel()

    async def _watch(self, settings: Settings) -> None:
        needed_at = time.monotonic()
        while not self.should_exit:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._board.visitors or self._board.followers:
                needed_at = time.monotonic()
            current = load_address(settings.state_dir)
            own = current is not None and (current.pid, current.started) == (self._address.pid, self._address.started)
            if not own or time.monotonic() - needed_at > IDLE_FOR_S:
                self.stop()


def _listen(settings: Settings) -> tuple[socket.socket, PageAddress]:
    """Return a listening socket, at the port of the last server if it is free, and the new record."""
    known = load_address(settings.state_dir) or new_address()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOCALHOST, known.port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        listener.bind((LOCALHOST, 0))
    listener.listen()
    own = own_identity()
    return listener, msgspec.structs.replace(
        known,
        port=listener.getsockname()[1],
        pid=own.pid,
        started=own.started,
        code_sha256=page_code_sha256(),
    )


def _forget(settings: Settings, address: PageAddress) -> None:
    """Leave port and token for the next server."""
    current = load_address(settings.state_dir)
    if current is not None and current.pid == address.pid and current.started == address.started:
        save_address(settings.state_dir, msgspec.structs.replace(current, pid=0, started=0))
