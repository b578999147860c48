"""Whose connection it is, while environments come and go."""

import asyncio
import json

from harness.network.places import Places


class Peer:
    """A connection from a container's address."""

    def __init__(self, address):
        self._address = address

    def getpeername(self):
        """Its address, and a port."""
        return self._address, 50000


def place(name, address):
    """An environment as the gateway lists it."""
    return {"id": name, "function": "f", "zone": "use1-az1", "addresses": [address]}


class SlowGateway:
    """Lists one environment more each time that it is asked, and answers first when it is told to."""

    def __init__(self):
        self.asked, self.called, self.answers = 0, asyncio.Event(), asyncio.Event()

    async def places(self):
        """The environments as JSON."""
        self.asked += 1
        listed = [place(f"e{number}", f"172.18.0.{number}") for number in range(self.asked)]
        self.called.set()
        await self.answers.wait()
        return json.dumps(listed).encode()


def test_a_client_that_comes_while_the_gateway_is_asked_is_not_taken_for_the_harness():
    """The list on its way may lack its environment: the gateway is asked once more, for all that wait."""

    async def found():
        gateway = SlowGateway()
        places = Places(gateway)
        first = asyncio.create_task(places.of(Peer("172.18.0.0")))
        await gateway.called.wait()
        others = [asyncio.create_task(places.of(Peer("172.18.0.1"))) for _ in range(3)]
        await asyncio.sleep(0)  # until they wait, too
        gateway.answers.set()
        return [one.id for one in [await first, *await asyncio.gather(*others)]], gateway.asked

    assert asyncio.run(found()) == (["e0", "e1", "e1", "e1"], 2)
