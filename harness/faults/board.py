"""The plans of all runs that are on at the moment."""

from dataclasses import dataclass, field

from harness.faults.plan import Fault
from harness.faults.strikes import Strikes
from harness.system.process_identity import ProcessIdentity, is_alive

# A stack that serves many runs need not remember them all.
_RUNS_KEPT = 64


@dataclass
class Board:
    """Strikes by run.

    Attributes:
        runs: The runs whose plans are in force.
        past: The newest of those whose plans were, the oldest first.
        owners: The process with which a run's plan ends at the latest, by run; absent where none is known.
    """

    runs: dict[str, Strikes] = field(default_factory=dict)
    past: dict[str, Strikes] = field(default_factory=dict)
    owners: dict[str, ProcessIdentity] = field(default_factory=dict)

    def post(self, run_id: str, strikes: Strikes) -> None:
        """Puts a run's plan in force."""
        self.runs[run_id] = strikes
        self.owners.pop(run_id, None)

    def orphans(self) -> list[str]:
        """Return the runs whose owner has died: nobody else would lift their plans."""
        return [run_id for run_id, owner in self.owners.items() if not is_alive(owner)]

    def lift(self, run_id: str) -> None:
        """Ends it: what has no run's key, as a request to S3, would meet it for ever."""
        self.owners.pop(run_id, None)
        if run_id in self.runs:
            self.past[run_id] = self.runs.pop(run_id)
        while len(self.past) > _RUNS_KEPT:
            del self.past[next(iter(self.past))]

    def find(self, run_id: str) -> Strikes | None:
        """A run's strikes, in force or past."""
        return self.runs.get(run_id) or self.past.get(run_id)

    def at_command(self, run_id: str | None) -> list[Fault]:
        """Return the delays that concern every command to Memcached.

        Args:
            run_id: The run that the command's key belongs to, which meets its own plan alone; None for no run's.
        """
        concerned = self.runs.values() if run_id is None else [self.runs[run_id]]
        return [fault for strikes in concerned for fault in strikes.at_command()]

    def at_request(self, method: str, path: str) -> list[Fault]:
        """The faults that strike at this request to S3."""
        return [fault for strikes in self.runs.values() for fault in strikes.at_request(method, path)]
