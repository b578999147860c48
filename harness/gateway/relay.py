"""Relay one port to another address: `python -m harness.gateway.relay PORT HOST PORT`, in a container of its own.

A function's container has no address on this machine. While it is debugged, this container has one, and relays.
"""

import asyncio
import contextlib
import sys

READ_BYTES = 65_536


async def relay(port: int, host: str, target: int) -> None:
    """Accept connections on all of this container's addresses, and connect each to the target, forever."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            try:
                target_reader, target_writer = await asyncio.open_connection(host, target)
            except OSError:
                return  # the function does not listen
            with contextlib.closing(target_writer):
                await asyncio.gather(_copy(reader, target_writer), _copy(target_reader, writer))

    server = await asyncio.start_server(accept, "0.0.0.0", port)  # noqa: S104 - of a container
    await server.serve_forever()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the end, and pass the end on; an end by force is an end too."""
    with contextlib.suppress(OSError):
        while chunk := await reader.read(READ_BYTES):
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.write_eof()


if __name__ == "__main__":
    asyncio.run(relay(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
