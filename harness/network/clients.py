"""The emulated network of each client, for the proxies: `await networks.of(socket)`, once for each connection."""

import socket
import time
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from harness.network.conditions import FunctionNetwork, NetworkOfFunctions
from harness.network.places import Address, Places

if TYPE_CHECKING:
    from harness.gateway.places import EnvironmentPlace


class ClientNetworks:
    """Find the network of a connection's function.

    Its clock is that of the event loop, `time.monotonic`.

    Attributes:
        functions: The networks of all functions, with the tally of what was added.
        places: The environments that are alive.
    """

    def __init__(self, functions: NetworkOfFunctions, places: Places) -> None:
        self.functions, self.places = functions, places
        self._places_of: WeakKeyDictionary[FunctionNetwork, EnvironmentPlace] = WeakKeyDictionary()

    async def of(self, connection: socket.socket) -> FunctionNetwork | None:
        """Return the network of the function at the other end; None for a client that is no function.

        The traffic of the harness itself is not slowed, as it is not with faults.
        """
        place = await self.places.of(connection)
        if place is None:
            return None
        # Every listing is newer than the environments of an earlier one that have ended.
        self.functions.keep([one.id for one in self.places.listed])
        network = self.functions.of_environment(place.id, place.zone, time.monotonic())
        self._places_of[network] = place
        return network

    def stand_in(self, own: Address, network: FunctionNetwork) -> None:
        """Note that a connection from this address, which a proxy has made, carries what a function sends."""
        self.places.stand_in(own, self._places_of[network])

    def stood_in(self, own: Address) -> None:
        """Forget such a connection, which has ended."""
        self.places.stood_in(own)
