"""The floor of the exchange against a real memcached."""

import uuid
from contextlib import closing

import pytest

from benchmarks.bare_memcached import BareMemcached, steps_of
from training.exchange.memcached import MemcachedChannel

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("collective", ["all_gather", "reduce", "reduce_scatter"])
def test_bare_ranks_move_the_bytes_of_a_collective(memcached_address, collective):
    """Every rank gets what the others have put, in pieces where a value is larger than Memcached takes."""
    host, _, port = memcached_address.rpartition(":")
    prefix = uuid.uuid4().hex
    floors = [
        BareMemcached(host, int(port), prefix, steps_of(collective, rank, 3, 3000, 60), limit=1000) for rank in range(3)
    ]
    try:
        for floor in floors:
            floor.put_all()
        for floor in floors:
            floor.run()
    finally:
        for floor in floors:
            floor.close()

    key = f"{prefix}/part/1/0" if collective != "reduce_scatter" else f"{prefix}/part/1/0/0"
    with closing(MemcachedChannel(host, int(port))) as channel:
        assert {key: bytes(1000)} == channel.get_many([key])
