"""An experiment whose states follow its timeline, and whose targets are those that it found."""

from typing import Any

from moto.core.utils import unix_time
from moto.fis.models import Experiment, ResolvedTarget

from harness.emulation.fis.actions import FUNCTION
from harness.emulation.fis.timeline import ExperimentTimeline


class TimedExperiment(Experiment):
    """One experiment, in place of moto's, which completes as soon as somebody looks."""

    # moto constructs it, and shows it once before it begins.
    timeline: ExperimentTimeline | None = None
    error: dict[str, str] | None = None

    @property
    def selected(self) -> dict[str, list[str]]:
        """Return the ARNs of the functions that each target has selected."""
        found: dict[str, list[str]] = self.__dict__.setdefault("_selected", {})
        return found

    def running(self) -> bool:
        """Return whether its actions can strike."""
        return self.timeline is not None and self.timeline.status(unix_time()) == "running"

    def resolved_targets(self) -> list[ResolvedTarget]:
        """Return the functions that its targets have selected."""
        return [ResolvedTarget(FUNCTION, name, arn) for name, arns in self.selected.items() for arn in arns]

    def to_summary_dict(self, tags: dict[str, str] | None = None) -> dict[str, Any]:
        """Return it as ListExperiments shows it."""
        return {**super().to_summary_dict(tags), "state": self._shown_state()}

    def to_dict(self, tags: dict[str, str] | None = None) -> dict[str, Any]:
        """Return it as GetExperiment shows it."""
        return {**super().to_dict(tags), "state": self._shown_state()}

    def _shown_state(self) -> dict[str, Any]:
        if self.timeline is None:
            return {"status": "pending", "reason": "Experiment is pending."}
        state = self.timeline.state(unix_time())
        return {**state, "error": self.error} if self.error else state

    def _sync_state(self) -> str:
        if self.timeline is None:
            return "pending"
        now = unix_time()
        self.end_time = self.timeline.end(now)
        for name, action in self.actions.items():
            action.update(self.timeline.action(name, now))
        return self.timeline.status(now)
