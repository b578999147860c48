"""The functions of the emulated account, their versions and aliases, and the calls that change them."""

import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from harness.gateway.account import AccountLimits
from harness.gateway.configuration_checks import (
    check_dead_letters,
    check_handler,
    check_layers,
    check_runtime,
    check_snap_start,
    check_variables,
)
from harness.gateway.errors import (
    alias_exists,
    function_exists,
    function_not_found,
    invalid_parameter,
    not_found,
    precondition_failed,
    version_in_use,
)
from harness.gateway.event_configs import EventInvokeConfigs
from harness.gateway.names import LATEST, Identifier, function_arn, parse_alias, parse_identifier
from harness.gateway.packages import CodeFolders
from harness.gateway.records import Alias, Function, Packages, Vpc
from harness.gateway.requests import (
    ConcurrencyRequest,
    ConfigurationRequest,
    CreateAliasRequest,
    CreateRequest,
    ImageConfig,
    PublishRequest,
    RecursionRequest,
    TagsRequest,
    UpdateAliasRequest,
    UpdateCodeRequest,
    decode,
)

# Fields in which two records of the same version may differ.
_NOT_PART_OF_A_VERSION = ("version", "revision", "modified", "recursion_allowed")


class FunctionStore:
    """All functions of the account.

    Args:
        packages: Imports their code.
        account: The account's limits.
        ready: Makes the environment of a runtime; raises `LambdaApiError` if it cannot be had.

    Attributes:
        events: How their asynchronous events are handled.
    """

    def __init__(
        self, packages: Packages, account: AccountLimits, ready: Callable[[str], object] = lambda _runtime: None
    ) -> None:
        self._packages = packages
        self._account = account
        self._ready = ready
        self._functions: dict[str, Function] = {}
        self._versions: dict[str, dict[str, Function]] = {}
        self._published: dict[str, int] = {}
        self._aliases: dict[str, dict[str, Alias]] = {}
        self.events = EventInvokeConfigs(self.find)
        self._tags: dict[str, dict[str, str]] = {}
        # Importing an image may take long, so such calls run in threads.
        self._changing = threading.RLock()

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

    def create(self, request: CreateRequest, vpc: Vpc) -> Function:
        """Perform CreateFunction.

        Args:
            request: The request.
            vpc: The VPC that its `VpcConfig` describes.
        """
        name = parse_identifier(request.function_name).name
        with self._changing:
            if name in self._functions:
                raise function_exists(name)
            if request.package_type == "Zip":
                check_handler(request.handler)
            check_runtime(request.runtime)
            check_layers(request.layers)
            check_dead_letters(request.dead_letter_config)
            check_variables(request.environment.variables)
            check_snap_start(request.snap_start, request.package_type)
            self._account.check_memory(request.memory_size)
            (architecture,) = request.architectures
            if request.package_type == "Zip":
                self._ready(request.runtime)
            function = Function(
                name=name,
                role=request.role,
                runtime=request.runtime,
                handler=request.handler,
                description=request.description,
                timeout_s=request.timeout,
                memory_mb=request.memory_size,
                variables=request.environment.variables,
                package=self._packages(name, request.code, request.image_config, architecture),
                modified=datetime.now(UTC),
                revision=str(uuid.uuid4()),
                ephemeral_storage_mb=request.ephemeral_storage.size,
                architecture=architecture,
                vpc=vpc,
            )
            self._functions[name] = function
            self._versions[name], self._aliases[name], self._published[name] = {}, {}, 0
            self._tags[name] = dict(request.tags)
            return self._publish(function, None) if request.publish else function

    def code_folders(self) -> set[Path]:
        """Return the folders of the code of all versions."""
        versions = [version for published in list(self._versions.values()) for version in list(published.values())]
        packages = [function.package for function in (*list(self._functions.values()), *versions)]
        return {package.folder for package in packages if package.folder is not None}

    def remove_unneeded_code(self, folders: CodeFolders) -> None:
        """Remove unpacked code that belongs to no version and that no environment runs; this may take a while."""
        with self._changing:
            folders.remove_all_but(self.code_folders())

    def update_code(self, identifier: str, body: bytes) -> Function:
        """Perform UpdateFunctionCode; a dry run returns the result without storing it."""
        request = decode(body, UpdateCodeRequest)
        with self._changing:
            function = self.get(identifier)
            _check_revision(function, request.revision_id)
            config = function.image.config if function.image else ImageConfig()
            package = self._packages(function.name, request, config, function.architecture)
            if request.dry_run:
                return msgspec.structs.replace(function, package=package)
            changed = self._replace(function, package=package)
            return self._publish(changed, None) if request.publish else changed

    def update_configuration(self, identifier: str, body: bytes, vpc: Vpc | None) -> Function:
        """Perform UpdateFunctionConfiguration.

        Args:
            identifier: The function.
            body: The request.
            vpc: The VPC that its `VpcConfig` describes; None if the request has none.
        """
        request = decode(body, ConfigurationRequest)
        function = self.get(identifier)
        _check_revision(function, request.revision_id)
        if request.handler is not None:
            check_handler(request.handler)
        check_runtime(request.runtime)
        check_layers(request.layers)
        check_dead_letters(request.dead_letter_config)
        if request.environment is not None:
            check_variables(request.environment.variables)
        if request.memory_size is not None:
            self._account.check_memory(request.memory_size)
        if request.snap_start is not None:
            check_snap_start(request.snap_start, "Zip" if function.image is None else "Image")
        if request.runtime:
            self._ready(request.runtime)
        package = None
        if request.image_config is not None and function.image is not None:
            config = request.image_config
            image = msgspec.structs.replace(
                function.image,
                entry_point=tuple(config.entry_point),
                command=tuple(config.command),
                working_directory=config.working_directory,
            )
            package = msgspec.structs.replace(function.package, image=image)
        changes = {
            "role": request.role,
            "runtime": request.runtime,
            "handler": request.handler,
            "description": request.description,
            "timeout_s": request.timeout,
            "memory_mb": request.memory_size,
            "variables": None if request.environment is None else request.environment.variables,
            "ephemeral_storage_mb": None if request.ephemeral_storage is None else request.ephemeral_storage.size,
            "package": package,
            "vpc": vpc,
        }
        return self._replace(function, **{key: value for key, value in changes.items() if value is not None})

    def delete(self, identifier: str, qualifier: str | None) -> list[Function]:
        """Perform DeleteFunction, of one version if the qualifier names one; return the deleted records."""
        name, version = parse_identifier(identifier, qualifier)
        if version == LATEST:
            raise invalid_parameter("$LATEST version cannot be deleted without deleting the function.")
        function = self.get(name)
        if version:
            deleted = self._versions[name].get(version)
            if deleted is None:
                raise function_not_found(function_arn(name, version))
            if aliases := [alias.name for alias in self._aliases[name].values() if alias.version == version]:
                raise version_in_use(name, version, aliases)
            del self._versions[name][version]
            return [deleted]
        del self._functions[name], self._aliases[name], self._published[name], self._tags[name]
        self.events.remove_all(name)
        self._account.release(name)
        return [function, *self._versions.pop(name).values()]

    # Versions and aliases: https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html

    def publish(self, identifier: str, body: bytes) -> Function:
        """Perform PublishVersion; return the newest version if nothing has changed since."""
        request = decode(body, PublishRequest)
        function = self.get(identifier)
        _check_revision(function, request.revision_id)
        if request.code_sha256 not in (None, function.package.sha256):
            raise invalid_parameter(
                f"CodeSHA256 ({request.code_sha256}) is different from current CodeSHA256 in $LATEST "
                f"({function.package.sha256}). Please try again with the CodeSHA256 in $LATEST."
            )
        return self._publish(function, request.description)

    def versions(self, identifier: str) -> list[Function]:
        """Perform ListVersionsByFunction: `$LATEST`, then the published versions."""
        function = self.get(identifier)
        return [function, *self._versions[function.name].values()]

    def create_alias(self, identifier: str, body: bytes) -> Alias:
        """Perform CreateAlias."""
        request = decode(body, CreateAliasRequest)
        name = self.get(identifier).name
        alias = parse_alias(request.name)
        _check_routing(request.routing_config)
        if alias in self._aliases[name]:
            raise alias_exists(function_arn(name, alias))
        self._check_version(name, request.function_version)
        created = Alias(name, alias, request.function_version, request.description, str(uuid.uuid4()))
        self._aliases[name][alias] = created
        return created

    def alias(self, identifier: str, alias: str) -> Alias:
        """Perform GetAlias."""
        name = self.get(identifier).name
        if alias not in self._aliases[name]:
            raise not_found(f"Cannot find alias arn: {function_arn(name, alias)}")
        return self._aliases[name][alias]

    def aliases(self, identifier: str, version: str | None) -> list[Alias]:
        """Perform ListAliases, for one version if it is named."""
        name = self.get(identifier).name
        return [alias for alias in self._aliases[name].values() if version in (None, alias.version)]

    def update_alias(self, identifier: str, alias: str, body: bytes) -> Alias:
        """Perform UpdateAlias."""
        request = decode(body, UpdateAliasRequest)
        existing = self.alias(identifier, alias)
        _check_routing(request.routing_config)
        _check_revision(existing, request.revision_id)
        if request.function_version is not None:
            self._check_version(existing.function, request.function_version)
        changed = Alias(
            existing.function,
            alias,
            existing.version if request.function_version is None else request.function_version,
            existing.description if request.description is None else request.description,
            str(uuid.uuid4()),
        )
        self._aliases[existing.function][alias] = changed
        return changed

    def delete_alias(self, identifier: str, alias: str) -> None:
        """Perform DeleteAlias; deleting an alias that does not exist succeeds."""
        name = self.get(identifier).name
        self._aliases[name].pop(alias, None)
        self.events.remove(Identifier(name, alias))

    def _check_version(self, name: str, version: str) -> None:
        if version != LATEST and version not in self._versions[name]:
            raise function_not_found(function_arn(name, version))

    def _publish(self, function: Function, description: str | None) -> Function:
        versions = self._versions[function.name]
        current = function if description is None else msgspec.structs.replace(function, description=description)
        newest = versions.get(str(self._published[function.name]))
        if newest is not None and _frozen(newest) == _frozen(current):
            return newest
        self._published[function.name] += 1
        number = str(self._published[function.name])
        versions[number] = msgspec.structs.replace(current, version=number, revision=str(uuid.uuid4()))
        return versions[number]

    # Settings of a function that are not part of any version.

    def put_recursion_config(self, identifier: str, body: bytes) -> Function:
        """Perform PutFunctionRecursionConfig."""
        allowed = decode(body, RecursionRequest).recursive_loop == "Allow"
        # Keep the revision, because the environments stay valid.
        function = msgspec.structs.replace(self.get(identifier), recursion_allowed=allowed)
        self._functions[function.name] = function
        return function

    def put_concurrency(self, identifier: str, body: bytes) -> int:
        """Perform PutFunctionConcurrency; return the reserved concurrency."""
        reserved = decode(body, ConcurrencyRequest).reserved_concurrent_executions
        self._account.reserve(self.get(identifier).name, reserved)
        return reserved

    def tags(self, identifier: str) -> dict[str, str]:
        """Perform ListTags."""
        return self._tags[self.get(identifier).name]

    def tag(self, identifier: str, body: bytes) -> None:
        """Perform TagResource."""
        self.tags(identifier).update(decode(body, TagsRequest).tags)

    def untag(self, identifier: str, keys: list[str]) -> None:
        """Perform UntagResource."""
        tags = self.tags(identifier)
        for key in keys:
            tags.pop(key, None)

    def _replace(self, function: Function, **changes: Any) -> Function:  # noqa: ANN401 - the record checks its fields
        changed = msgspec.structs.replace(function, modified=datetime.now(UTC), revision=str(uuid.uuid4()), **changes)
        self._functions[function.name] = changed
        return changed


def _frozen(function: Function) -> dict[str, Any]:
    return {key: value for key, value in msgspec.structs.asdict(function).items() if key not in _NOT_PART_OF_A_VERSION}


def _check_routing(config: dict[str, dict[str, float]]) -> None:
    if any(config.values()):
        raise invalid_parameter("RoutingConfig is not emulated: an alias points to one version.")


def _check_revision(record: Function | Alias, revision: str | None) -> None:
    if revision not in (None, record.revision):
        raise precondition_failed()
