"""Records as JSON, with paths in them, in files that are replaced in one step."""

from pathlib import Path
from typing import TypeVar

import msgspec

from harness.system.private_files import write_private

Record = TypeVar("Record")


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
    """Write the file, its owner's alone, so that a reader sees all of it or none."""
    write_private(path, msgspec.json.format(encode(record)) + b"\n")


def _encode_path(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))


def _decode_path(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError(kind)
