"""Facts that botocore works out about itself, computed once for all runtimes instead of once per session and client.

Half of a boto3 client's cost is reading the descriptions of AWS's services (50 ms and 15 MB) and listing them. A third
of the rest is inspecting the signature of each of its hundred handlers, and resolving the aliases of their events.
All of that is the library's, the same for everyone; each runtime keeps its own sessions, credentials and connections.
"""

import sys
from collections.abc import Iterable
from contextlib import suppress
from types import FunctionType
from typing import Any


def prime_botocore(services: Iterable[str]) -> None:
    """Make loaders of this process and of its forks start with the data that clients of these services read.

    Nothing happens if botocore has not been imported.

    Args:
        services: Names as in `boto3.client`.
    """
    if "botocore" not in sys.modules:
        return
    # Imported here, so that functions without botocore pay nothing.
    import botocore.session  # noqa: PLC0415
    from botocore import hooks  # noqa: PLC0415
    from botocore.hooks import EventAliaser  # noqa: PLC0415
    from botocore.loaders import Loader  # noqa: PLC0415

    session = botocore.session.Session()
    # boto3 extends some clients, and imports further modules for that.
    clients = (
        sys.modules["boto3"].Session(botocore_session=session).client
        if "boto3" in sys.modules
        else session.create_client
    )
    for service in services:
        # The fixed region and keys prevent a search for real ones.
        with suppress(Exception):
            clients(service, region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")  # noqa: S106
    _preload(Loader, "_cache", session.get_component("data_loader"), "search_paths", Loader().search_paths)
    emitter = session.get_component("event_emitter")
    _preload(EventAliaser, "_alias_name_cache", emitter, "_event_aliases", getattr(hooks, "EVENT_ALIASES", None))
    _remember_builtin_handlers()


def _preload(kind: Any, cache: str, filled: Any, depends_on: str, usual: Any) -> None:  # noqa: ANN401 - botocore's
    """Make new objects of a class start with the cache of an existing object.

    Args:
        kind: The class.
        cache: The attribute that holds the cache, a dict; nothing happens in a botocore that lacks it.
        filled: The object whose cache is filled.
        depends_on: The attribute that the cache depends on.
        usual: The usual value of that attribute; an object with another value starts with an empty cache.
    """
    found: dict[Any, Any] = getattr(filled, cache, {})
    initialise = kind.__init__

    def preloaded_init(one: Any, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - botocore's
        initialise(one, *arguments, **options)
        if getattr(one, depends_on, None) == usual and hasattr(one, cache):
            getattr(one, cache).update(found)

    kind.__init__ = preloaded_init


def _remember_builtin_handlers() -> None:
    """Remember which of botocore's own handlers take any keyword, which each session would otherwise inspect again."""
    from botocore import handlers, hooks  # noqa: PLC0415

    ask = getattr(hooks, "accepts_kwargs", None)
    if ask is None:
        return
    own = {handler for _, handler, *_ in handlers.BUILTIN_HANDLERS}
    known = {handler: ask(handler) for handler in own if isinstance(handler, FunctionType)}

    def accepts_kwargs(function: Any) -> Any:  # noqa: ANN401 - botocore's
        # A bound method may be as short-lived as its object, so it is not remembered.
        return known[function] if isinstance(function, FunctionType) and function in known else ask(function)

    hooks.accepts_kwargs = accepts_kwargs  # type: ignore[assignment]
