"""botocore's descriptions of AWS's services, read once for all runtimes instead of by each client in each of them.

Half of what a boto3 client costs is reading them: 50 ms and 15 MB, and as much again for finding out what there is.
They are files of the library's, the same for everyone; sessions, credentials and connections stay each runtime's own.
"""

import sys
from collections.abc import Iterable
from contextlib import suppress
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
    what_was_read: dict[Any, Any] = getattr(session.get_component("data_loader"), "_cache", {})
    usual_paths = Loader().search_paths
    begin = Loader.__init__

    def begin_with_what_was_read(loader: Any, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - botocore's
        begin(loader, *arguments, **options)
        if loader.search_paths == usual_paths and hasattr(loader, "_cache"):
            loader._cache.update(what_was_read)  # noqa: SLF001 - a loader takes no beginning in any other way

    Loader.__init__ = begin_with_what_was_read  # type: ignore[method-assign,assignment]
