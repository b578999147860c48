"""Where an execution environment is, as `GET /_harness/places` lists it."""

import msgspec


class EnvironmentPlace(msgspec.Struct, frozen=True):
    """Where an environment is, for the emulated network.

    Attributes:
        id: Its name.
        function: The function's name.
        zone: The ID of its zone.
        pids: The roots of its process trees; empty in container mode.
        addresses: Its IP addresses; empty in process mode.
        memory_mb: The function's memory size, MB.
    """

    id: str
    function: str
    zone: str
    pids: tuple[int, ...] = ()
    addresses: tuple[str, ...] = ()
    memory_mb: int = 0
