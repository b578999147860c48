"""The plans of all runs that are on at the moment."""

from dataclasses import dataclass, field

from harness.faults.plan import Fault
from harness.faults.strikes import Strikes

# A stack that serves many runs need not remember them all.
_RUNS_KEPT = 64


@dataclass
class Board:
    """Strikes by run.

    Attributes:
        runs: The newest runs, the oldest first.
    """

    runs: dict[str, Strikes] = field(default_factory=dict)

    def post(self, run_id: str, strikes: Strikes) -> None:
        """Takes up a run's plan."""
        self.runs[run_id] = strikes
        while len(self.runs) > _RUNS_KEPT:
            del self.runs[next(iter(self.runs))]

    def at_command(self) -> list[Fault]:
        """The delays that concern every command to Memcached."""
        return [fault for strikes in self.runs.values() for fault in strikes.at_command()]

    def at_request(self, method: str, path: str) -> list[Fault]:
        """The faults that strike at this request to S3."""
        return [fault for strikes in self.runs.values() for fault in strikes.at_request(method, path)]
