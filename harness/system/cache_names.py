"""The names of the cache's nodes among the parts of a stack."""

NAME = "memcached"
# Stands for the port in a command that is the same for all nodes.
PORT = "{port}"


def cache_names(count: int) -> list[str]:
    """Return the names of so many nodes, in their order: `memcached`, `memcached-2`, ..."""
    return [NAME, *(f"{NAME}-{number}" for number in range(2, count + 1))]
