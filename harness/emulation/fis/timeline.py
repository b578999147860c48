"""When the actions of an experiment begin and end, and in which states that leaves the experiment and its actions.

    action  pending --> running --> completed       an experiment runs until its last action has ended
               |           `------> stopped         by StopExperiment, or by an alarm
               |---> cancelled                      it had not begun
               `---> skipped                        its target is empty, or the experiment only resolves targets

https://docs.aws.amazon.com/fis/latest/APIReference/API_ExperimentState.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.emulation.fis.actions import duration_s

REASONS = {
    "initiating": "Experiment is initiating.",
    "running": "Experiment is running.",
    "stopping": "Experiment is stopping.",
    "completed": "Experiment completed.",
    "stopped": "Experiment stopped.",
}


@dataclass(slots=True)
class ExperimentTimeline:
    """The course of one experiment. All times are seconds.

    Attributes:
        begun: When it began, since the epoch.
        spans: When each action begins and ends, after that; an action that is skipped is missing.
        stopped: When it was stopped, since the epoch; None if it was not.
        stopped_by: Why it was stopped.
        failure: Why it could not begin; empty if it did.
    """

    begun: float
    spans: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    stopped: float | None = None
    stopped_by: str = REASONS["stopped"]
    failure: str = ""

    @property
    def ends(self) -> float:
        """Return when its last action ends unless it is stopped, since the epoch."""
        return self.begun + max((end for _, end in self.spans.values()), default=0.0)

    def status(self, now: float) -> str:
        """Return the experiment's status."""
        if self.failure:
            return "failed"
        if self.stopped is not None:
            return "stopped"
        return "running" if now < self.ends else "completed"

    def state(self, now: float) -> dict[str, Any]:
        """Return the experiment's state, as the API shows it."""
        status = self.status(now)
        reason = self.failure or (self.stopped_by if status == "stopped" else REASONS[status])
        return {"status": status, "reason": reason}

    def end(self, now: float) -> float | None:
        """Return when the experiment ended, since the epoch; None if it has not."""
        status = self.status(now)
        if status == "running":
            return None
        return {"failed": self.begun, "stopped": self.stopped}.get(status, self.ends)

    def action(self, name: str, now: float) -> dict[str, Any]:
        """Return the state and the times of an action, as the API shows them."""
        if self.failure:
            return _shown("cancelled", self.failure)
        if name not in self.spans:
            return _shown("skipped", "Action was skipped.")
        begins, ends = (self.begun + after for after in self.spans[name])
        until = now if self.stopped is None else self.stopped
        if until < begins:
            return _shown("pending" if self.stopped is None else "cancelled", "Action has not begun.")
        if until >= ends:
            return _shown("completed", "Action was completed.", begins, ends)
        if self.stopped is None:
            return _shown("running", "Action is running.", begins)
        return _shown("stopped", "Action was stopped.", begins, self.stopped)


def _shown(status: str, reason: str, begun: float | None = None, ended: float | None = None) -> dict[str, Any]:
    times = {"startTime": begun, "endTime": ended}
    return {
        "state": {"status": status, "reason": reason},
        **{key: time for key, time in times.items() if time is not None},
    }


def spans_of(actions: Mapping[str, dict[str, Any]], skipped: set[str]) -> dict[str, tuple[float, float]]:
    """Return when each action begins and ends, seconds after the experiment's begin.

    An action begins when those that it starts after have ended; skipped ones take no time.

    Args:
        actions: The actions of a checked template.
        skipped: Those that are skipped.
    """
    spans: dict[str, tuple[float, float]] = {}
    left = dict(actions)
    while left:
        # A checked template has no circle.
        name = next(name for name, action in left.items() if not set(action.get("startAfter") or ()) & left.keys())
        action = left.pop(name)
        begins = max((spans[other][1] for other in action.get("startAfter") or ()), default=0.0)
        spans[name] = (begins, begins + (0.0 if name in skipped else duration_s(action)))
    return {name: span for name, span in spans.items() if name not in skipped}
