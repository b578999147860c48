"""What the emulated account is allowed, and what of it is reserved.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
"""

from collections import Counter
from dataclasses import dataclass, field

from harness.gateway import limits
from harness.gateway.errors import invalid_parameter, too_many_requests


@dataclass
class AccountLimits:
    """The account's limits and reservations, and how many invocations run.

    Attributes:
        concurrency: Invocations that may run at once.
        memory_mb: The most that a function may have; new accounts get less than Lambda's most.
        reserved: The part of the concurrency that a function has for itself, by its name.
    """

    concurrency: int
    memory_mb: int = limits.MOST_MEMORY_MB
    reserved: dict[str, int] = field(default_factory=dict)
    _running: Counter[str] = field(default_factory=Counter)
    _unreserved_running: int = 0

    @property
    def unreserved(self) -> int:
        """What is left for functions without a reservation."""
        return self.concurrency - sum(self.reserved.values())

    def reserve(self, function: str, executions: int) -> None:
        """Reserves a part of the concurrency.

        Raises:
            LambdaApiError: Too little would be left for the others.
        """
        least = min(limits.LEAST_UNRESERVED, self.concurrency)
        if self.unreserved + self.reserved.get(function, 0) - executions < least:
            raise invalid_parameter(
                "Specified ReservedConcurrentExecutions for function decreases account's "
                f"UnreservedConcurrentExecution below its minimum value of [{least}]."
            )
        self._count_anew(function, executions)

    def release(self, function: str) -> None:
        """Gives a function's reservation back, if it has one."""
        if function in self.reserved:
            self._count_anew(function, None)

    def check_memory(self, memory_mb: int) -> None:
        """Checks a function's memory size.

        Raises:
            LambdaApiError: The account may not have so much.
        """
        if memory_mb > self.memory_mb:
            raise invalid_parameter(
                "'MemorySize' value failed to satisfy constraint: Member must have value less than or equal to "
                f"{self.memory_mb}"
            )

    def enter(self, function: str) -> None:
        """Counts an invocation that is to run.

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
        """Counts an invocation that has ended."""
        self._running[function] -= 1
        if function not in self.reserved:
            self._unreserved_running -= 1

    def _count_anew(self, function: str, executions: int | None) -> None:
        """Changes a reservation; what runs at this moment moves to the pool that it counts in from now on."""
        if executions is None:
            del self.reserved[function]
        else:
            self.reserved[function] = executions
        self._unreserved_running = sum(running for name, running in self._running.items() if name not in self.reserved)
