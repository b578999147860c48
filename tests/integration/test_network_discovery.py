"""The configuration endpoint on the wire."""

import asyncio
import random

import pytest

from harness.network import Node, NodeList, configuration, serve

ONE_NODE = b"CONFIG cluster 0 28\r\n1\n127.0.0.1|127.0.0.1|11211\n\r\nEND\r\n"


async def ask(port: int, *chunks: bytes) -> bytes:
    """Send the chunks one by one; return everything received until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for chunk in chunks:
        writer.write(chunk)
        await writer.drain()
        await asyncio.sleep(0)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def converse(*chunks: bytes) -> bytes:
    """Return one client's conversation with an endpoint of one node."""

    async def conversation() -> bytes:
        async with await serve(Node("127.0.0.1", 0), NodeList([Node("127.0.0.1", 11211)])) as server:
            return await ask(server.sockets[0].getsockname()[1], *chunks)

    return asyncio.run(conversation())


def test_the_nodes_are_listed_byte_for_byte_as_elasticache_does():
    """The answer is the documented one, with the length of version and nodes."""
    two = configuration(NodeList([Node("10.0.0.1", 11211), Node("cache.local", 11212)]))

    assert configuration(NodeList([Node("127.0.0.1", 11211)])) == ONE_NODE
    assert two == b"CONFIG cluster 0 56\r\n1\n10.0.0.1|10.0.0.1|11211 cache.local|cache.local|11212\n\r\nEND\r\n"


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        ([b"config get cluster\r\n"], ONE_NODE),
        ([b"config ", b"get clus", b"ter\r", b"\n"], ONE_NODE),
        ([b"config get cluster\nconfig get cluster\r\n"], ONE_NODE * 2),
        ([b"version\r\n"], b"VERSION 1.6.18\r\n"),
        ([b"get key\r\nversion\r\n"], b"ERROR\r\nVERSION 1.6.18\r\n"),
        ([b"quit\r\nversion\r\n"], b""),
        ([b"\r\n"], b"ERROR\r\n"),
        ([b"config get cluster"], ONE_NODE),
        ([b"\x00\xff\r\n"], b"ERROR\r\n"),
        ([], b""),
    ],
)
def test_every_line_gets_its_answer(sent: list[bytes], answer: bytes):
    """Known commands are answered, however they are divided into chunks; others get ERROR."""
    assert converse(*sent) == answer


def test_a_changed_list_has_a_higher_version():
    """A client that asks again over the same connection gets the new list."""

    async def conversation() -> list[bytes]:
        nodes, lines = NodeList([Node("127.0.0.1", 11211)]), []
        async with await serve(Node("127.0.0.1", 0), nodes) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
            for replaced in (nodes.nodes, [Node("127.0.0.1", 11213), Node("127.0.0.1", 11214)]):
                nodes.change(replaced)
                writer.write(b"config get cluster\r\n")
                lines.append(await reader.readuntil(b"END\r\n"))
            writer.close()
        return lines

    first, second = asyncio.run(conversation())

    assert first == ONE_NODE.replace(b"\n1\n", b"\n2\n")
    assert second == b"CONFIG cluster 0 54\r\n3\n127.0.0.1|127.0.0.1|11213 127.0.0.1|127.0.0.1|11214\n\r\nEND\r\n"


def test_garbage_from_many_clients_disturbs_nobody():
    """After noise, an endless line and a client that leaves at once, the endpoint still answers the next client."""
    noise = random.Random(7)

    async def crowd() -> bytes:
        async with await serve(Node("127.0.0.1", 0), NodeList([Node("127.0.0.1", 11211)])) as server:
            port = server.sockets[0].getsockname()[1]
            _, leaver = await asyncio.open_connection("127.0.0.1", port)
            leaver.write(b"config get cluster\r\n" * 100)
            leaver.transport.abort()
            noisy = (ask(port, noise.randbytes(500), b"\r\n") for _ in range(50))
            await asyncio.gather(*noisy, ask(port, b"x" * 1_000_000), return_exceptions=True)
            return await ask(port, b"config get cluster\r\n")

    assert asyncio.run(crowd()) == ONE_NODE
