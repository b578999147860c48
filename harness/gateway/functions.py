"""The functions of the emulated account, with their versions, aliases and tags: what is stored, and the rules of it."""

import random
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from harness.gateway.account import AccountLimits
from harness.gateway.attached import Attached
from harness.gateway.errors import (
    alias_exists,
    function_exists,
    function_not_found,
    invalid_parameter,
    not_found,
    precondition_failed,
    update_in_progress,
    version_in_use,
)
from harness.gateway.events.configs import EventInvokeConfigs
from harness.gateway.layer_store import LayerStore
from harness.gateway.names import LATEST, Identifier, function_arn, parse_identifier
from harness.gateway.packages import CodeFolders
from harness.gateway.policies import Policies
from harness.gateway.records import Alias, Change, Function, Packages
from harness.gateway.signing import CodeSigning
from harness.gateway.urls.store import FunctionUrls

# Fields in which `$LATEST` may differ from what it was when its newest version was published.
_NOT_PART_OF_A_VERSION = ("revision", "revision_id", "modified", "recursion_allowed", "change")


class FunctionStore:
    """All functions of the account.

    Args:
        packages: Imports their code.
        account: The account's limits.
        ready: Makes the environment of a runtime; raises `LambdaApiError` if it cannot be had.
        routing_seed: Seed of the choices between an alias's versions; None for one that differs at every start.

    Attributes:
        events: How their asynchronous events are handled.
        policies: Who may invoke them.
        urls: Their URLs.
        signing: Which signatures their code needs.
        runtime_updates: When their runtimes are patched.
    """

    def __init__(
        self,
        packages: Packages,
        account: AccountLimits,
        ready: Callable[[str], object] = lambda _runtime: None,
        routing_seed: int | None = None,
    ) -> None:
        self.packages = packages
        self.ready = ready
        self._account = account
        self._functions: dict[str, Function] = {}
        self._versions: dict[str, dict[str, Function]] = {}
        self._published: dict[str, int] = {}
        # What `$LATEST` was when the newest version was published.
        self._sources: dict[str, Function] = {}
        self._aliases: dict[str, dict[str, Alias]] = {}
        self._tags: dict[str, dict[str, str]] = {}
        self._choices = random.Random(routing_seed)
        self.events = EventInvokeConfigs()
        self.policies = Policies()
        self.urls = FunctionUrls()
        self.signing = CodeSigning()
        self.runtime_updates: Attached[str] = Attached(default=LATEST)
        # Importing an image may take long, so such calls run in threads.
        self.changing = threading.RLock()
        # Held only while something is stored, so that the event loop may wait for it.
        self._storing = threading.RLock()

    def get(self, identifier: str, qualifier: str | None = None) -> Function:
        """Return the function, or the version of it, that a name or an ARN and a qualifier identify.

        Raises:
            LambdaApiError: It does not exist, or the identifier is malformed.
        """
        return self.find(parse_identifier(identifier, qualifier))

    def find(self, identifier: Identifier) -> Function:
        """Return the function, or the version of it, that an identifier names.

        Raises:
            LambdaApiError: It does not exist.
        """
        name, qualifier = identifier
        function = self._functions.get(name)
        if function is None:
            raise function_not_found(function_arn(name, qualifier))
        if qualifier in ("", LATEST):
            return function
        alias = self._aliases[name].get(qualifier)
        version = alias.version if alias else qualifier
        if version == LATEST:
            return function
        published = self._versions[name].get(version)
        if published is None:
            raise function_not_found(function_arn(name, qualifier))
        # Recursion is a setting of the function, not of a version.
        return msgspec.structs.replace(published, recursion_allowed=function.recursion_allowed)

    def all(self) -> list[Function]:
        """Return all functions, sorted by name."""
        return [self._functions[name] for name in sorted(self._functions)]

    def create(self, name: str, build: Callable[[], Function], tags: dict[str, str]) -> Function:
        """Store a new function.

        Args:
            name: Its name.
            build: Returns its record; may take long, since it imports the code.
            tags: Its tags.

        Raises:
            LambdaApiError: The name is taken, or the code cannot be imported.
        """
        with self.changing:
            if name in self._functions:
                raise function_exists(name)
            function = build()
            with self._storing:
                self._versions[name], self._aliases[name], self._published[name] = {}, {}, 0
                self._tags[name] = dict(tags)
                self._functions[name] = function
            return function

    def change(self, function: Function, **changes: Any) -> Function:  # noqa: ANN401 - the record checks its fields
        """Store a function with some fields changed, under a new revision; return the new record.

        Args:
            function: The function as the caller read it.
            changes: The changed fields.

        Raises:
            LambdaApiError: It has been deleted or changed since.
        """
        with self._storing:
            changed = msgspec.structs.replace(
                self._current(function), modified=datetime.now(UTC), revision=new_revision(), revision_id="", **changes
            )
            self._functions[function.name] = changed
        return changed

    def is_current(self, function: Function) -> bool:
        """Return whether a record is still that of `$LATEST`: nobody has changed or deleted the function since."""
        current = self._functions.get(function.name)
        return current is not None and current.revision == function.revision

    def _current(self, function: Function) -> Function:
        """Return the stored record of a function that the caller has read; its `RevisionId` may have changed.

        Raises:
            LambdaApiError: It has been deleted or changed since.
        """
        current = self._functions.get(function.name)
        if current is None:
            raise function_not_found(function.arn)
        if current.revision != function.revision:
            raise update_in_progress(function.arn)
        return current

    def renew_revision(self, name: str) -> None:
        """Give a function another `RevisionId`; its environments stay valid."""
        with self._storing:
            self._functions[name] = msgspec.structs.replace(self._functions[name], revision_id=new_revision())

    def set_recursion(self, function: Function, *, allowed: bool) -> Function:
        """Store whether a function may invoke itself; its environments stay valid."""
        with self._storing:
            changed = msgspec.structs.replace(self._current(function), recursion_allowed=allowed)
            self._functions[function.name] = changed
        return changed

    def delete(self, identifier: Identifier) -> list[Function]:
        """Delete a function, or one version of it; return the deleted records.

        Raises:
            LambdaApiError: The function does not exist, or the version cannot be deleted.
        """
        name, version = identifier
        if version == LATEST:
            raise invalid_parameter("$LATEST version cannot be deleted without deleting the function.")
        function = self.find(Identifier(name, ""))
        if version:
            return self._delete_version(name, version)
        with self._storing:
            function = self._functions.pop(name)
            del self._aliases[name], self._published[name], self._tags[name]
            self._sources.pop(name, None)
            versions = self._versions.pop(name)
        for attached in self._attached():
            attached.remove_all(name)
        self._account.release(name)
        return [function, *versions.values()]

    def _delete_version(self, name: str, version: str) -> list[Function]:
        if not version.isdecimal():
            raise invalid_parameter("Deletion of aliases is not currently supported.")
        if aliases := [alias.name for alias in self._aliases[name].values() if version in alias.versions]:
            raise version_in_use(name, version, aliases)
        self._remove_attached(Identifier(name, version))
        deleted = self._versions[name].pop(version, None)
        return [] if deleted is None else [deleted]

    def code_folders(self) -> set[Path]:
        """Return the folders of the code and the layers of all versions."""
        versions = [version for published in list(self._versions.values()) for version in list(published.values())]
        functions = [*list(self._functions.values()), *versions]
        own = {function.package.folder for function in functions if function.package.folder is not None}
        return own | {folder for function in functions for folder in function.layers}

    def remove_unneeded_code(self, folders: CodeFolders, layers: LayerStore) -> None:
        """Remove unpacked code and deleted layers of no version that no environment runs; this may take a while."""
        with self.changing:
            needed = self.code_folders()
            folders.remove_all_but(needed)
            layers.remove_unneeded(needed | folders.held())

    # Versions: https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html

    def publish(self, function: Function, description: str | None, change: Change | None = None) -> Function:
        """Store `$LATEST` as a new version; return the newest version if neither code nor settings have changed.

        Args:
            function: The record of `$LATEST`.
            description: The version's description; None for that of `$LATEST`.
            change: The creation of the version, if it takes time.

        Raises:
            LambdaApiError: `$LATEST` has been deleted or changed since.
        """
        function = self._current(function)
        name = function.name
        versions, source = self._versions[name], self._sources.get(name)
        newest = versions.get(str(self._published[name]))
        if newest is not None and source is not None and _content(source) == _content(function):
            return newest
        self._published[name] += 1
        number = str(self._published[name])
        versions[number] = msgspec.structs.replace(
            function,
            version=number,
            revision=new_revision(),
            revision_id="",
            description=function.description if description is None else description,
            change=change,
        )
        self._sources[name] = function
        self.renew_revision(name)
        return versions[number]

    def versions(self, name: str) -> list[Function]:
        """Return `$LATEST`, then the published versions of a function."""
        return [self.find(Identifier(name, "")), *self._versions[name].values()]

    # Aliases: https://docs.aws.amazon.com/lambda/latest/dg/configuration-aliases.html

    def add_alias(self, alias: Alias) -> None:
        """Store a new alias.

        Raises:
            LambdaApiError: The name is taken.
        """
        if alias.name in self._aliases[alias.function]:
            raise alias_exists(function_arn(alias.function, alias.name))
        self._aliases[alias.function][alias.name] = alias

    def replace_alias(self, alias: Alias) -> None:
        """Store an alias in the place of the one with its name."""
        self._aliases[alias.function][alias.name] = alias

    def alias(self, name: str, alias: str) -> Alias:
        """Return an alias.

        Raises:
            LambdaApiError: It does not exist.
        """
        found = self._aliases.get(name, {}).get(alias)
        if found is None:
            raise not_found(f"Cannot find alias arn: {function_arn(name, alias)}")
        return found

    def routed(self, identifier: Identifier) -> Identifier:
        """Return the version that an invocation of an alias runs: each has its share; others run what they name."""
        alias = self._aliases.get(identifier.name, {}).get(identifier.qualifier)
        if alias is None or not alias.weights:
            return identifier
        chosen = self._choices.random()
        for version, share in alias.weights.items():
            if chosen < share:
                return Identifier(identifier.name, version)
            chosen -= share
        return Identifier(identifier.name, alias.version)

    def aliases(self, name: str) -> list[Alias]:
        """Return all aliases of a function."""
        return list(self._aliases[name].values())

    def remove_alias(self, name: str, alias: str) -> None:
        """Remove an alias, if it exists, and what is attached to it."""
        self._aliases[name].pop(alias, None)
        self._remove_attached(Identifier(name, alias))

    def _attached(self) -> list[Attached[Any]]:
        return [self.events, self.policies, self.urls, self.signing.functions, self.runtime_updates]

    def _remove_attached(self, identifier: Identifier) -> None:
        for attached in self._attached():
            attached.remove(identifier)

    # Tags: https://docs.aws.amazon.com/lambda/latest/dg/configuration-tags.html

    def tags(self, name: str) -> dict[str, str]:
        """Return the tags of a function; a change to them is stored."""
        return self._tags[name]


def new_revision() -> str:
    """Return a new revision of a record."""
    return str(uuid.uuid4())


def check_revision(record: Function | Alias, revision: str | None) -> None:
    """Refuse a change of a record that somebody else has changed since the caller read it."""
    if revision not in (None, record.shown_revision):
        raise precondition_failed()


def _content(function: Function) -> dict[str, Any]:
    return {key: value for key, value in msgspec.structs.asdict(function).items() if key not in _NOT_PART_OF_A_VERSION}
