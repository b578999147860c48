"""Records, including paths, as JSON in files that are replaced atomically."""

from pathlib import Path
from typing import TypeVar

import msgspec

from harness.system.private_files import write_private

Record = TypeVar("Record")


def encode(record: object) -> bytes:
    """Return the record as JSON."""
    return msgspec.json.encode(record, enc_hook=_encode_path)


def decode(content: bytes, kind: type[Record]) -> Record:
    """Return the record that the JSON describes.

    Raises:
        msgspec.DecodeError: The content does not match the record.
    """
    return msgspec.json.decode(content, type=kind, dec_hook=_decode_path)


def save(record: object, path: Path) -> None:
    """Write the record to a private file, so that a reader sees all of it or none."""
    write_private(path, msgspec.json.format(encode(record)) + b"\n")


def _encode_path(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))


def _decode_path(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError(kind)
