"""The fault plans of all runs in progress."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from harness.faults.injections import Injections
from harness.faults.plan import Fault
from harness.system.process_identity import ProcessIdentity, is_alive

# Bounds the memory of a stack that serves many runs.
_RUNS_KEPT = 64
NO_RANKS: Mapping[str, int | None] = MappingProxyType({})


@dataclass
class Board:
    """Injections by run.

    Attributes:
        runs: The runs whose plans are active.
        past: The most recent runs whose plans have ended, oldest first.
        owners: The process whose death ends a run's plan, by run; absent where no owner is known.
        dice: Draws delays; the same ones in every stack.
    """

    runs: dict[str, Injections] = field(default_factory=dict)
    past: dict[str, Injections] = field(default_factory=dict)
    owners: dict[str, ProcessIdentity] = field(default_factory=dict)
    dice: random.Random = field(default_factory=lambda: random.Random(0))

    def post(self, run_id: str, injections: Injections) -> None:
        """Activate a run's plan."""
        self.runs[run_id] = injections
        self.owners.pop(run_id, None)

    def orphans(self) -> list[str]:
        """Return the runs whose owner has died, and so cannot end their plans."""
        return [run_id for run_id, owner in self.owners.items() if not is_alive(owner)]

    def lift(self, run_id: str) -> None:
        """End a run's plan.

        Requests without a run's key, such as requests to S3, would otherwise meet its faults forever.
        """
        self.owners.pop(run_id, None)
        if run_id in self.runs:
            self.past[run_id] = self.runs.pop(run_id)
        while len(self.past) > _RUNS_KEPT:
            del self.past[next(iter(self.past))]

    def find(self, run_id: str) -> Injections | None:
        """Return a run's injections, active or past; None if the run is unknown."""
        return self.runs.get(run_id) or self.past.get(run_id)

    @property
    def depends_on_zones(self) -> bool:
        """Whether some active fault applies to the functions of a zone alone."""
        plans = (injections.plan for injections in self.runs.values())
        return any(fault.zone is not None and fault.target != "zone" for plan in plans for fault in plan.faults)

    def at_command(self, run_id: str | None, zone: str = "") -> list[Fault]:
        """Return the delays that apply to every Memcached command.

        Args:
            run_id: The run that the command's key belongs to, whose plan alone applies; None if it belongs to no run.
            zone: The zone that it comes from; empty if no fault depends on it.
        """
        affected = self.runs.values() if run_id is None else [self.runs[run_id]]
        return [fault for injections in affected for fault in injections.at_command(zone)]

    def runs_with_ranks_at_s3(self) -> list[str]:
        """Return the runs of which some fault applies to what one rank asks of S3."""
        return [run_id for run_id, injections in self.runs.items() if injections.ranks_at_s3]

    def at_request(
        self, method: str, path: str, zone: str = "", ranks: Mapping[str, int | None] = NO_RANKS
    ) -> list[tuple[str, Fault]]:
        """Return the faults to inject at this request to S3, each with its run.

        Args:
            method: The request's method.
            path: Its path: bucket and key.
            zone: The zone that it comes from; empty if no fault depends on it.
            ranks: The rank that it comes from, by run; absent where no fault depends on it.
        """
        return [
            (run_id, fault)
            for run_id, injections in self.runs.items()
            for fault in injections.at_request(method, path, zone, ranks.get(run_id))
        ]
