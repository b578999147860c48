"""Function URLs: addresses by which HTTP clients invoke a function or an alias.

https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html
"""

import secrets
import string
from datetime import datetime
from typing import Literal

import msgspec

from harness.gateway import limits
from harness.gateway.attached import Attached
from harness.gateway.names import Identifier

# Where the gateway serves a URL: by its path, which every client reaches, or by a host name of AWS's form, which only
# browsers, curl and machines that resolve *.localhost do.
PATH = "/lambda-url/"
HOST_SUFFIX = f".lambda-url.{limits.REGION}.localhost"
_LETTERS, _ID_LETTERS = string.ascii_lowercase + string.digits, 32

AuthType = Literal["NONE", "AWS_IAM"]
InvokeMode = Literal["BUFFERED", "RESPONSE_STREAM"]


class Cors(msgspec.Struct, rename="pascal", omit_defaults=True):
    """`Cors` of the API: which pages of other origins may read the answers."""

    allow_credentials: bool | None = None
    allow_headers: list[str] | None = None
    allow_methods: list[str] | None = None
    allow_origins: list[str] | None = None
    expose_headers: list[str] | None = None
    max_age: int | None = None


class FunctionUrl(msgspec.Struct, frozen=True):
    """The URL of a function or an alias.

    Attributes:
        id: What identifies it in its address.
        address: The address.
        auth_type: Whether callers need credentials.
        cors: Which pages may read the answers; None if it was never given.
        invoke_mode: How answers are sent; None if it was never given, so that AWS's default counts.
        created: When it was created.
        modified: When it was last changed.
    """

    id: str
    address: str
    auth_type: AuthType
    cors: Cors | None
    invoke_mode: InvokeMode | None
    created: datetime
    modified: datetime


def new_id() -> str:
    """Return an id that nobody can guess, since whoever knows it may call a URL of `AuthType` NONE."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_ID_LETTERS))


class FunctionUrls(Attached[FunctionUrl]):
    """The URLs of all functions and aliases.

    Attributes:
        ended: The ids of URLs that were taken away; AWS answers their callers as those who may not call.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ended: set[str] = set()

    def remove(self, identifier: Identifier) -> bool:
        """Take away the URL of a function or an alias; return whether it had one."""
        url = self.get(identifier)
        if url is not None:
            self.ended.add(url.id)
        return super().remove(identifier)

    def remove_all(self, name: str) -> None:
        """Take away the URLs of a deleted function and its aliases."""
        self.ended |= {url.id for _, url in self.all_of(name)}
        super().remove_all(name)

    def by_id(self, url_id: str) -> tuple[Identifier, FunctionUrl] | None:
        """Return a URL, and what it invokes; None if there is none with this id."""
        return next(((identifier, url) for identifier, url in self.all() if url.id == url_id), None)
