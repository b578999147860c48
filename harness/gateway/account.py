"""The limits of the emulated account, and its reserved concurrency.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
"""

from collections import Counter
from dataclasses import dataclass, field

from harness.gateway import limits
from harness.gateway.errors import invalid_parameter, too_many_requests


@dataclass
class AccountLimits:
    """The account's limits and reservations, and the number of running invocations.

    Attributes:
        concurrency: Invocations that may run at once.
        memory_mb: The largest memory size of a function; new accounts have a lower limit than Lambda's own.
        reserved: The concurrency reserved for a function, by its name.
    """

    concurrency: int
    memory_mb: int = limits.MOST_MEMORY_MB
    reserved: dict[str, int] = field(default_factory=dict)
    _running: Counter[str] = field(default_factory=Counter)
    _unreserved_running: int = 0
    _first_limits: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self._first_limits = self.concurrency, self.memory_mb

    def restore(self) -> None:
        """Return to the limits that the account had at first."""
        self.concurrency, self.memory_mb = self._first_limits

    @property
    def unreserved(self) -> int:
        """Return the concurrency left for functions without a reservation."""
        return self.concurrency - sum(self.reserved.values())

    def reserve(self, function: str, executions: int) -> None:
        """Reserve a part of the concurrency for a function.

        Raises:
            LambdaApiError: Too little would be left for the other functions.
        """
        least = min(limits.LEAST_UNRESERVED, self.concurrency)
        if self.unreserved + self.reserved.get(function, 0) - executions < least:
            raise invalid_parameter(
                "Specified ReservedConcurrentExecutions for function decreases account's "
                f"UnreservedConcurrentExecution below its minimum value of [{least}]."
            )
        self._set_reservation(function, executions)

    def release(self, function: str) -> None:
        """Release a function's reservation, if it has one."""
        if function in self.reserved:
            self._set_reservation(function, None)

    def check_memory(self, memory_mb: int) -> None:
        """Check a function's memory size.

        Raises:
            LambdaApiError: It exceeds the account's limit.
        """
        if memory_mb > self.memory_mb:
            raise invalid_parameter(
                "'MemorySize' value failed to satisfy constraint: Member must have value less than or equal to "
                f"{self.memory_mb}"
            )

    def enter(self, function: str) -> None:
        """Count an invocation that is about to run.

        Raises:
            LambdaApiError: The function's reservation, or the account's concurrency, is used up (429).
        """
        reserved = self.reserved.get(function)
        if reserved is None:
            if self._unreserved_running >= self.unreserved:
                raise too_many_requests("ConcurrentInvocationLimitExceeded")
            self._unreserved_running += 1
        elif self._running[function] >= reserved:
            raise too_many_requests("ReservedFunctionConcurrentInvocationLimitExceeded")
        self._running[function] += 1

    def leave(self, function: str) -> None:
        """Count an invocation that has ended."""
        self._running[function] -= 1
        if function not in self.reserved:
            self._unreserved_running -= 1

    def _set_reservation(self, function: str, executions: int | None) -> None:
        """Set or remove a reservation, and recount the running invocations by the pool that they now belong to."""
        if executions is None:
            del self.reserved[function]
        else:
            self.reserved[function] = executions
        self._unreserved_running = sum(running for name, running in self._running.items() if name not in self.reserved)
