"""What botocore finds out about itself, once for all runtimes instead of by each session and client in each of them.

Half of what a boto3 client costs is reading the descriptions of AWS's services: 50 ms and 15 MB, and as much again for
finding out what there is. A third of the rest is asking each of its own hundred handlers for its signature, and what
each of their events is called today.
All that is the library's, the same for everyone; sessions, credentials and connections stay each runtime's own.
"""

import sys
from collections.abc import Iterable
from contextlib import suppress
from types import FunctionType
from typing import Any


def prime_botocore(services: Iterable[str]) -> None:
    """Makes loaders of this process, and of those forked from it, begin with what clients of these services read.

    Nothing happens when botocore has not been imported.

    Args:
        services: Names as in `boto3.client`.
    """
    if "botocore" not in sys.modules:
        return
    # Not at the top: functions that do without pay nothing.
    import botocore.session  # noqa: PLC0415
    from botocore import hooks  # noqa: PLC0415
    from botocore.hooks import EventAliaser  # noqa: PLC0415
    from botocore.loaders import Loader  # noqa: PLC0415

    session = botocore.session.Session()
    # boto3 adds to some clients, and imports for it what else it does not.
    clients = (
        sys.modules["boto3"].Session(botocore_session=session).client
        if "boto3" in sys.modules
        else session.create_client
    )
    for service in services:
        # With a region and keys of no account, so that none are looked for anywhere.
        with suppress(Exception):
            clients(service, region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")  # noqa: S106
    _preload(Loader, "_cache", session.get_component("data_loader"), "search_paths", Loader().search_paths)
    emitter = session.get_component("event_emitter")
    _preload(EventAliaser, "_alias_name_cache", emitter, "_event_aliases", getattr(hooks, "EVENT_ALIASES", None))
    _remember_builtin_handlers()


def _preload(kind: Any, cache: str, filled: Any, depends_on: str, usual: Any) -> None:  # noqa: ANN401 - botocore's
    """Makes new objects of a class begin with what one of them has found out.

    Args:
        kind: The class.
        cache: The attribute that holds it, a dict; a botocore that has none is left alone.
        filled: The object that has found out.
        depends_on: The attribute that its findings depend on.
        usual: That one's value; an object in which it is another begins with nothing.
    """
    found: dict[Any, Any] = getattr(filled, cache, {})
    initialise = kind.__init__

    def preloaded_init(one: Any, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - botocore's
        initialise(one, *arguments, **options)
        if getattr(one, depends_on, None) == usual and hasattr(one, cache):
            getattr(one, cache).update(found)

    kind.__init__ = preloaded_init


def _remember_builtin_handlers() -> None:
    """Whether botocore's own handlers take any keyword, which each session asks anew of all of them."""
    from botocore import handlers, hooks  # noqa: PLC0415

    ask = getattr(hooks, "accepts_kwargs", None)
    if ask is None:
        return
    own = {handler for _, handler, *_ in handlers.BUILTIN_HANDLERS}
    known = {handler: ask(handler) for handler in own if isinstance(handler, FunctionType)}

    def accepts_kwargs(function: Any) -> Any:  # noqa: ANN401 - botocore's
        # A bound method may be as short-lived as its object, and is not remembered.
        return known[function] if isinstance(function, FunctionType) and function in known else ask(function)

    hooks.accepts_kwargs = accepts_kwargs  # type: ignore[assignment]
