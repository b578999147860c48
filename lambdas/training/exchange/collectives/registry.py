"""The one list of collectives: name, function, whether its bits are those of the others, and its cost.

A new collective is a function in a module of this package and a row here.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple

from training.exchange.collectives.call import Collective
from training.exchange.collectives.cost_model import (
    USUAL,
    Cost,
    Link,
    all_gather_cost,
    reduce_cost,
    reduce_scatter_cost,
    seconds,
)
from training.exchange.collectives.flat import all_gather, reduce, reduce_scatter
from training.exchange.collectives.two_level import two_level


class Entry(NamedTuple):
    """One collective.

    Attributes:
        run: The function.
        exact: Whether it adds parts in rank order, so that it gives the same bits as every other exact one.
        cost: What it costs for a number of ranks and the bytes of a part; None for one that `auto` never takes.
    """

    run: Collective
    exact: bool
    cost: Callable[[int, int], Cost] | None


REGISTRY: Mapping[str, Entry] = {
    "all_gather": Entry(all_gather, exact=True, cost=all_gather_cost),
    "reduce": Entry(reduce, exact=True, cost=reduce_cost),
    "reduce_scatter": Entry(reduce_scatter, exact=True, cost=reduce_scatter_cost),
    "two_level": Entry(two_level, exact=False, cost=None),
}
EXACT = tuple(name for name, entry in REGISTRY.items() if entry.exact)
_COSTS = {name: entry.cost for name, entry in REGISTRY.items() if entry.exact and entry.cost}


@cache
def quickest(world_size: int, part_bytes: int, link: Link = USUAL) -> str:
    """Return the collective that `auto` takes: the cheapest exact one; the same on every rank, as its inputs are."""
    return min(_COSTS, key=lambda name: seconds(_COSTS[name](world_size, part_bytes), link))
