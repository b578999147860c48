"""The limits of the emulated account, and its reserved concurrency.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
"""

from collections import Counter
from dataclasses import dataclass, field

from harness.gateway import limits
from harness.gateway.errors import LambdaApiError, invalid_parameter, too_many_requests


@dataclass
class AccountLimits:
    """The account's limits and reservations, and the number of running invocations.

    Attributes:
        concurrency: Invocations that may run at once.
        memory_mb: The largest memory size of a function; new accounts have a lower limit than Lambda's own.
        state_delay_s: How long a new function is `Pending` and an update `InProgress`.
        reserved: The concurrency reserved for a function, by its name.
        provisioned: The provisioned concurrency requested for the versions of a function, by its name.
        allocated: The part of it that is ready; on-demand environments have the rest.
    """

    concurrency: int
    memory_mb: int = limits.MOST_MEMORY_MB
    state_delay_s: float = 0.0
    reserved: dict[str, int] = field(default_factory=dict)
    provisioned: Counter[str] = field(default_factory=Counter)
    allocated: Counter[str] = field(default_factory=Counter)
    _running: Counter[str] = field(default_factory=Counter)
    _in_provisioned: Counter[str] = field(default_factory=Counter)
    _unreserved_running: int = 0
    _first: tuple[int, int, float] = (0, 0, 0.0)

    def __post_init__(self) -> None:
        self._first = self.concurrency, self.memory_mb, self.state_delay_s

    def restore(self) -> None:
        """Return to the limits and the delay that the account had at first."""
        self.concurrency, self.memory_mb, self.state_delay_s = self._first

    @property
    def unreserved(self) -> int:
        """Return the concurrency left for functions without a reservation and for what is not provisioned."""
        return self.concurrency - sum(self.reserved.values()) - self._outside_of_reservations(self.provisioned)

    def reserve(self, function: str, executions: int) -> None:
        """Reserve a part of the concurrency for a function.

        Raises:
            LambdaApiError: Too little would be left for the other functions, or more is provisioned.
        """
        provisioned = self.provisioned[function]
        if executions < provisioned:
            raise _untyped(
                f" ReservedConcurrentExecutions  {executions} should not be lower than function's total provisioned "
                f"concurrency [{provisioned}]."
            )
        least = min(limits.LEAST_UNRESERVED, self.concurrency)
        if self.unreserved + self._share(function) - executions < least:
            raise _untyped(
                "Specified ReservedConcurrentExecutions for function decreases account's "
                f"UnreservedConcurrentExecution below its minimum value of [{least}]."
            )
        self._set_reservation(function, executions)

    def check_provisioned(self, function: str, executions: int) -> None:
        """Check how much concurrency may be provisioned for all versions of a function together.

        Raises:
            LambdaApiError: It exceeds the function's reservation, or too little would be left for the other functions.
        """
        reserved = self.reserved.get(function)
        if reserved is not None:
            if executions > reserved:
                raise invalid_parameter(
                    "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for "
                    "function"
                )
            return
        left = self.unreserved + self.provisioned[function]
        if executions > left:
            raise _untyped(
                "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency "
                f"[{left}]."
            )
        least = min(limits.LEAST_UNRESERVED, self.concurrency)
        if left - executions < least:
            raise _untyped(
                "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below "
                f"its minimum value of [{least}]."
            )

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
        """Count an invocation that is about to run in an environment on demand.

        Raises:
            LambdaApiError: The function's reservation, or the account's concurrency, is used up (429).
        """
        reserved = self.reserved.get(function)
        if reserved is None:
            ready = self._outside_of_reservations(self.allocated)
            if self._unreserved_running >= self.concurrency - sum(self.reserved.values()) - ready:
                raise too_many_requests("ConcurrentInvocationLimitExceeded")
            self._unreserved_running += 1
        elif self._running[function] >= reserved - self.allocated[function]:
            raise too_many_requests("ReservedFunctionConcurrentInvocationLimitExceeded")
        self._running[function] += 1

    def enter_provisioned(self, function: str) -> None:
        """Count an invocation that is about to run in an environment of provisioned concurrency."""
        self._in_provisioned[function] += 1

    def leave_provisioned(self, function: str) -> None:
        """Count an invocation that has ended in such an environment."""
        self._in_provisioned[function] -= 1

    def in_provisioned(self, function: str) -> int:
        """Return how many invocations of a function run in such environments."""
        return self._in_provisioned[function]

    def running(self, function: str) -> int:
        """Return how many invocations of a function run."""
        return self._running[function] + self._in_provisioned[function]

    def leave(self, function: str) -> None:
        """Count an invocation that has ended."""
        self._running[function] -= 1
        if function not in self.reserved:
            self._unreserved_running -= 1

    def _share(self, function: str) -> int:
        """Return what a function takes from the concurrency of the others now."""
        return self.reserved.get(function, self.provisioned[function])

    def _outside_of_reservations(self, provisioned: Counter[str]) -> int:
        return sum(number for name, number in provisioned.items() if name not in self.reserved)

    def _set_reservation(self, function: str, executions: int | None) -> None:
        """Set or remove a reservation, and recount the running invocations by the pool that they now belong to."""
        if executions is None:
            del self.reserved[function]
        else:
            self.reserved[function] = executions
        self._unreserved_running = sum(running for name, running in self._running.items() if name not in self.reserved)


def _untyped(message: str) -> LambdaApiError:
    """Return a 400 as AWS gives it for the limits of concurrency: without `Type`."""
    return LambdaApiError("InvalidParameterValueException", 400, message, typed=False)
