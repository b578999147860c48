"""Records as JSON, with paths in them, in files that are replaced in one step."""

import os
from pathlib import Path
from typing import TypeVar

import msgspec

Record = TypeVar("Record")

PRIVATE_FILE = 0o600


def encode(record: object) -> bytes:
    """The record as JSON."""
    return msgspec.json.encode(record, enc_hook=_encode_path)


def decode(content: bytes, kind: type[Record]) -> Record:
    """The record in this JSON.

    Raises:
        msgspec.DecodeError: It holds something else.
    """
    return msgspec.json.decode(content, type=kind, dec_hook=_decode_path)


def save(record: object, path: Path) -> None:
    """Writes the file so that a reader sees all of it or none."""
    write_private(path, msgspec.json.format(encode(record)) + b"\n")


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whatever the umask, in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    # What another process of this number left has its own mode.
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "wb") as file:
        file.write(content)
    temporary.replace(path)


def _encode_path(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))


def _decode_path(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError(kind)
