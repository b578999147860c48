"""Records as JSON, with paths in them, in files that are replaced in one step."""

import os
from pathlib import Path
from typing import TypeVar

import msgspec

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
    """Writes the file so that a reader sees all of it or none."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(msgspec.json.format(encode(record)) + b"\n")
    temporary.replace(path)


def _encode_path(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))


def _decode_path(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError(kind)
