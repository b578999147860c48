"""Provisioned concurrency: environments of a version, or of an alias's versions, that wait with their handler loaded.

    IN_PROGRESS    environments are started; invocations run in those that are ready, or on demand
    READY          all are ready; one that is lost is replaced
    FAILED         the handler could not be loaded, six times; nothing more is started until the next request

When an alias moves to another version, its environments of the old version stay until those of the new one are ready.
https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html
"""

import asyncio
import contextlib
import functools
import logging
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from harness.gateway.account import AccountLimits
from harness.gateway.environment import Environment
from harness.gateway.errors import LambdaApiError
from harness.gateway.functions import FunctionStore
from harness.gateway.initialisation import InitialisationError
from harness.gateway.names import Identifier, function_arn
from harness.gateway.pool import Pool
from harness.gateway.records import Alias

logger = logging.getLogger(__name__)

Status = Literal["IN_PROGRESS", "READY", "FAILED"]

INIT_FAILURE = "FUNCTION_ERROR_INIT_FAILURE"
# As recorded on AWS.
_ATTEMPTS = 6
# More at once would only wait for one another.
_STARTED_AT_ONCE = 8
# How often the environments without an invocation are looked at.
_LOOK_EVERY_S = 1.0


@dataclass
class ProvisionedConfig:
    """The provisioned concurrency of a version or an alias.

    Attributes:
        identifier: The version or the alias.
        requested: How many environments were requested.
        modified: When that was.
        status: Whether they are ready.
        reason: Why they are not, if they never will be.
        environments: Those that are ready, or run an invocation.
    """

    identifier: Identifier
    requested: int
    modified: datetime = field(default_factory=lambda: datetime.now(UTC))
    status: Status = "IN_PROGRESS"
    reason: str = ""
    environments: list[Environment] = field(default_factory=list)
    filling: asyncio.Task[None] | None = None

    @property
    def available(self) -> int:
        """Return how many environments there are."""
        return min(len(self.environments), self.requested)


class Provisioned:
    """The provisioned concurrency of all functions.

    Args:
        functions: The account's functions.
        pool: Their environments.
        account: The account's limits.
        state_delay_s: How long requests are in progress at least.
    """

    def __init__(
        self, functions: FunctionStore, pool: Pool, account: AccountLimits, state_delay_s: float = 0.0
    ) -> None:
        self._functions = functions
        self._pool = pool
        self._account = account
        self._state_delay_s = state_delay_s
        self._configs: dict[Identifier, ProvisionedConfig] = {}
        self._slots = asyncio.Semaphore(_STARTED_AT_ONCE)
        self._watch: asyncio.Task[None] | None = None

    def put(self, identifier: Identifier, requested: int) -> ProvisionedConfig:
        """Request a number of environments for a version or an alias.

        Raises:
            LambdaApiError: That is more than the function or the account has, or an alias and its version would both
                have some.
        """
        self._check_only_one(identifier)
        own = self._configs.get(identifier)
        total = self._account.provisioned[identifier.name] - (own.requested if own is not None else 0) + requested
        self._account.check_provisioned(identifier.name, total)
        if own is None:
            own = self._configs[identifier] = ProvisionedConfig(identifier, requested)
        own.requested, own.modified = requested, datetime.now(UTC)
        self._fill(own)
        return own

    def get(self, identifier: Identifier) -> ProvisionedConfig | None:
        """Return what was requested for a version or an alias; None if nothing was."""
        return self._configs.get(identifier)

    def all_of(self, name: str) -> list[ProvisionedConfig]:
        """Return everything that was requested for a function."""
        return [config for config in self._configs.values() if config.identifier.name == name]

    def forget(self, identifier: Identifier) -> None:
        """Stop the environments of a version or an alias, or of a whole function, if there are any."""
        for config in self.all_of(identifier.name):
            if identifier.qualifier in ("", config.identifier.qualifier):
                del self._configs[config.identifier]
                self._stop_filling(config)
                self._dismiss(config, config.environments)
                self._count(identifier.name)

    def check_move(self, alias: Alias) -> None:
        """Refuse to move an alias with provisioned concurrency to a version with some of its own.

        Raises:
            LambdaApiError: Both would have some (409).
        """
        identifier = Identifier(alias.function, alias.name)
        if identifier in self._configs:
            self._check_versions(alias)

    def follow(self, alias: Alias) -> None:
        """Provide environments of the versions that an alias points to now."""
        config = self._configs.get(Identifier(alias.function, alias.name))
        if config is not None and self._wanted(config) != _versions(config):
            self._fill(config)

    async def stop(self) -> None:
        """Stop to start environments; the pool stops those that have been started."""
        tasks = [self._watch, *(config.filling for config in self._configs.values())]
        self._configs.clear()
        for task in tasks:
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def _check_only_one(self, identifier: Identifier) -> None:
        name, qualifier = identifier
        alias = next((one for one in self._functions.aliases(name) if one.name == qualifier), None)
        if alias is not None:
            self._check_versions(alias)
            return
        aliases = [one for one in self._functions.aliases(name) if Identifier(name, one.name) in self._configs]
        if any(qualifier in one.versions for one in aliases):
            raise _conflict("Version is pointed by a Provisioned Concurrency alias")

    def _check_versions(self, alias: Alias) -> None:
        if any(Identifier(alias.function, version) in self._configs for version in alias.versions):
            raise _conflict(
                "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
            )

    def _wanted(self, config: ProvisionedConfig) -> Counter[str]:
        """Return how many environments of each version there shall be; an alias with two versions shares them out."""
        name, qualifier = config.identifier
        alias = next((one for one in self._functions.aliases(name) if one.name == qualifier), None)
        if alias is None:
            return Counter({qualifier: config.requested})
        shares = Counter({version: math.ceil(config.requested * share) for version, share in alias.weights.items()})
        shares[alias.version] += config.requested - shares.total()
        return +shares

    def _fill(self, config: ProvisionedConfig) -> None:
        """Start what is missing, in the background."""
        self._stop_filling(config)
        config.status, config.reason = "IN_PROGRESS", ""
        config.filling = asyncio.create_task(self._fill_all(config))
        self._count(config.identifier.name)
        if self._watch is None:
            self._watch = asyncio.create_task(self._look_after())

    async def _fill_all(self, config: ProvisionedConfig) -> None:
        attempts = iter(range(_ATTEMPTS - 1))
        delay = asyncio.create_task(asyncio.sleep(self._state_delay_s))
        try:
            # Again, if one was lost in the meantime.
            while missing := self._wanted(config) - _versions(config):
                async with asyncio.TaskGroup() as group:
                    for version in missing.elements():
                        group.create_task(self._add(config, version, attempts))
            await delay
        except* Exception as errors:  # noqa: BLE001 - nobody awaits this task
            error = errors.exceptions[0]
            logger.warning("provisioned concurrency of %s failed: %r", function_arn(*config.identifier), error)
            config.status = "FAILED"
            config.reason = INIT_FAILURE if isinstance(error, InitialisationError) else str(error)
        else:
            config.status = "READY"
            self._dismiss_surplus(config)
        finally:
            delay.cancel()
            self._count(config.identifier.name)

    async def _add(self, config: ProvisionedConfig, version: str, attempts: Iterator[int]) -> None:
        """Start one environment; the attempts after the first one are those of all environments together."""
        while True:
            function = self._functions.find(Identifier(config.identifier.name, version))
            try:
                async with self._slots:
                    environment = await self._pool.provision(function, functools.partial(self._lose, config))
            except (InitialisationError, OSError, TimeoutError):
                if next(attempts, None) is None:
                    raise
                continue
            config.environments.append(environment)
            self._count(config.identifier.name)
            return

    def _lose(self, config: ProvisionedConfig, environment: Environment) -> None:
        """Replace an environment that has ended by itself."""
        config.environments = [one for one in config.environments if one is not environment]
        self._count(config.identifier.name)
        if config.filling is None or config.filling.done():
            self._fill(config)

    def _dismiss_surplus(self, config: ProvisionedConfig) -> None:
        left, surplus = self._wanted(config), []
        for environment in config.environments:
            if left[environment.function.version] > 0:
                left[environment.function.version] -= 1
            else:
                surplus.append(environment)
        self._dismiss(config, surplus)

    def _dismiss(self, config: ProvisionedConfig, environments: list[Environment]) -> None:
        for environment in environments:
            self._pool.dismiss(environment)
        config.environments = [one for one in config.environments if all(one is not other for other in environments)]

    def _stop_filling(self, config: ProvisionedConfig) -> None:
        if config.filling is not None:
            config.filling.cancel()

    def _count(self, name: str) -> None:
        """Take a function's share from the account's concurrency."""
        configs = self.all_of(name)
        self._account.provisioned[name] = sum(
            config.available if config.status == "FAILED" else config.requested for config in configs
        )
        self._account.allocated[name] = sum(config.available for config in configs)

    async def _look_after(self) -> None:
        """Replace environments that have died without an invocation, as long as there are any."""
        while self._configs:
            await asyncio.sleep(_LOOK_EVERY_S)
            self._pool.find_lost()
        self._watch = None


def _versions(config: ProvisionedConfig) -> Counter[str]:
    """Return how many environments there are of each version."""
    return Counter(one.function.version for one in config.environments)


def _conflict(message: str) -> LambdaApiError:
    return LambdaApiError("ResourceConflictException", 409, message)
