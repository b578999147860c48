"""What is attached to functions, versions and aliases, each with its own: a policy, a URL, settings for events."""

from typing import Generic, TypeVar

from harness.gateway.names import Identifier

Item = TypeVar("Item")


class Attached(Generic[Item]):
    """The items of one kind, of all functions.

    Args:
        default: The qualifier under which a function's own item is stored.
    """

    def __init__(self, default: str = "") -> None:
        self._default = default
        self._items: dict[Identifier, Item] = {}

    def get(self, identifier: Identifier) -> Item | None:
        """Return the item of a function, a version or an alias; None if it has none."""
        return self._items.get(self.own(identifier))

    def all(self) -> list[tuple[Identifier, Item]]:
        """Return all items."""
        return list(self._items.items())

    def all_of(self, name: str) -> list[tuple[Identifier, Item]]:
        """Return the items of a function, its versions and its aliases."""
        return [(key, item) for key, item in self._items.items() if key.name == name]

    def put(self, identifier: Identifier, item: Item) -> None:
        """Store the item of a function, a version or an alias."""
        self._items[self.own(identifier)] = item

    def remove(self, identifier: Identifier) -> bool:
        """Remove the item of a function, a version or an alias; return whether it had one."""
        return self._items.pop(self.own(identifier), None) is not None

    def remove_all(self, name: str) -> None:
        """Remove the items of a deleted function, its versions and its aliases."""
        self._items = {key: item for key, item in self._items.items() if key.name != name}

    def own(self, identifier: Identifier) -> Identifier:
        """Return the identifier under which an item is stored."""
        return Identifier(identifier.name, identifier.qualifier or self._default)
