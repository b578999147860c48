"""Additions to moto's FIS, which stores templates and experiments, but neither checks nor carries them out."""

import dataclasses
import logging
import threading
from typing import Any

import httpx
from botocore.exceptions import BotoCoreError, ClientError
from moto.cloudwatch.models import cloudwatch_backends
from moto.core.utils import unix_time
from moto.fis import urls
from moto.fis.models import ExperimentTemplate, FISBackend

from harness.emulation.fis import gateway
from harness.emulation.fis.actions import to_gateway
from harness.emulation.fis.errors import ValidationException
from harness.emulation.fis.experiment import TimedExperiment
from harness.emulation.fis.targets import selected_functions
from harness.emulation.fis.templates import QUALIFIER, alarms_of, check_template
from harness.emulation.fis.timeline import REASONS, ExperimentTimeline, spans_of
from harness.gateway.experiments import ExperimentRequest

logger = logging.getLogger(__name__)

ALARM = "ALARM"
_STOPPED_BY_ALARM = "Experiment halted by stop condition."
# As others recorded it on AWS, with the code InvalidTarget.
_EMPTY = "Target resolution returned empty set."


class ExperimentBackend(FISBackend):
    """FIS of one account and region, with experiments that strike functions."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        # An alarm may stop what another request is starting.
        self._changing = threading.RLock()

    @property
    def _url_module(self) -> Any:  # noqa: ANN401 - moto's; it would look for one beside this module
        return urls

    def create_experiment_template(self, *args: Any, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - moto's
        """Store a template, once it is checked."""
        fields = {field.name for field in dataclasses.fields(ExperimentTemplate)}
        content = {name: value for name, value in given.items() if name in fields}
        check_template(
            ExperimentTemplate(
                self.account_id, self.region_name, id="", creation_time=0.0, last_update_time=0.0,
                **{**content, "targets": content.get("targets") or {}},
            )
        )  # fmt: skip
        return super().create_experiment_template(*args, **given)

    def update_experiment_template(self, *args: Any, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - moto's
        """Change a template, once the result is checked."""
        template = self.experiment_templates.get(changes.get("id", ""))
        if template is not None:
            given = {name: value for name, value in changes.items() if value is not None and name != "id"}
            if "experiment_options" in given:
                given["experiment_options"] = {**(template.experiment_options or {}), **given["experiment_options"]}
            check_template(dataclasses.replace(template, **given))
        return super().update_experiment_template(*args, **changes)

    def create_target_account_configuration(self, *args: Any, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - moto's
        """Refuse it: only experiments on several accounts have one."""
        del args, given
        raise ValidationException("Target account configurations are not emulated: the stack has one account.")

    def start_experiment(
        self,
        client_token: str | None,
        experiment_template_id: str,
        experiment_options: dict[str, Any] | None = None,
        tags: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Start an experiment; the same token again returns the same experiment."""
        mode = (experiment_options or {}).get("actionsMode", "run-all")
        if mode not in ("run-all", "skip-all"):
            raise ValidationException(f'Invalid actionsMode "{mode}": it has to be run-all or skip-all.')
        with self._changing:
            answer = super().start_experiment(client_token, experiment_template_id, experiment_options, tags)
            experiment = self._timed(answer["id"])
            if experiment.timeline is not None:
                return answer
            self._begin(experiment)
            answer = experiment.to_dict(tags or {})
            if experiment.running():
                answer["state"] = {"status": "initiating", "reason": REASONS["initiating"]}
            return answer

    def stop_experiment(self, id: str) -> dict[str, Any]:  # noqa: A002 - moto's name
        """Stop an experiment: from now on it strikes no invocation."""
        with self._changing:
            if id not in self.experiments:
                return super().stop_experiment(id)
            experiment = self._timed(id)
            was_running = experiment.running()
            self._stop(experiment, REASONS["stopped"])
            answer = experiment.to_dict(self.tagger.get_tag_dict_for_resource(experiment.arn))
            if was_running:
                answer["state"] = {"status": "stopping", "reason": REASONS["stopping"]}
            return answer

    def stop_for(self, alarm: str) -> None:
        """Stop the experiments that have this alarm as a stop condition."""
        with self._changing:
            for id_ in list(self.experiments):
                experiment = self._timed(id_)
                if experiment.running() and alarm in alarms_of(experiment.stop_conditions):
                    self._stop(experiment, _STOPPED_BY_ALARM)

    def _timed(self, id_: str) -> TimedExperiment:
        experiment = self.experiments[id_]
        assert isinstance(experiment, TimedExperiment)  # noqa: S101 - installed in place of moto's
        return experiment

    def _begin(self, experiment: TimedExperiment) -> None:
        """Find the targets of an experiment, and let the Lambda service begin it; or record why that failed."""
        begun, options = unix_time(), experiment.experiment_options
        try:
            self._select(experiment)
            empty = [name for name, arns in experiment.selected.items() if not arns]
            if empty and options["emptyTargetResolutionMode"] == "fail":
                experiment.timeline = ExperimentTimeline(begun, failure=_EMPTY)
                experiment.error = {"accountId": self.account_id, "code": "InvalidTarget", "location": empty[0]}
                return
            missing, alarming = self._alarms(experiment)
            if missing:
                experiment.timeline = ExperimentTimeline(begun, failure=f"The alarm {missing[0]} does not exist.")
                return
            skipped = self._skipped(experiment, set(empty))
            experiment.timeline = ExperimentTimeline(begun, spans_of(experiment.actions, skipped))
            if alarming:
                experiment.timeline.stopped, experiment.timeline.stopped_by = begun, _STOPPED_BY_ALARM
                return
            gateway.start(experiment.id, self._request(experiment, experiment.timeline))
            # Not before: an experiment that is shown as completed strikes no invocation any more.
            experiment.timeline.begun = unix_time()
        except (ClientError, BotoCoreError, httpx.HTTPError) as error:
            experiment.timeline = ExperimentTimeline(begun, failure=f"The Lambda service: {error}")

    def _select(self, experiment: TimedExperiment) -> None:
        functions = gateway.functions(self.region_name)
        for name, target in experiment.targets.items():
            experiment.selected[name] = selected_functions(target, functions)

    def _skipped(self, experiment: TimedExperiment, empty: set[str]) -> set[str]:
        everything = experiment.experiment_options["actionsMode"] == "skip-all"
        return {
            name
            for name, action in experiment.actions.items()
            if everything or set((action.get("targets") or {}).values()) & empty
        }

    def _alarms(self, experiment: TimedExperiment) -> tuple[list[str], list[str]]:
        """Return the alarms of the stop conditions that do not exist, and those that are in ALARM."""
        existing = {
            alarm.alarm_arn: alarm.state_value
            for alarm in cloudwatch_backends[self.account_id][self.region_name].alarms.values()
        }
        wanted = alarms_of(experiment.stop_conditions)
        return (
            [arn for arn in wanted if arn not in existing],
            [arn for arn in wanted if existing.get(arn) == ALARM],
        )

    def _request(self, experiment: TimedExperiment, timeline: ExperimentTimeline) -> ExperimentRequest:
        actions = []
        for name, (begins, _) in timeline.spans.items():
            action = experiment.actions[name]
            for target in (action.get("targets") or {}).values():
                names = tuple(arn.rpartition(":")[2] for arn in experiment.selected[target])
                qualifier = (experiment.targets[target].get("parameters") or {}).get(QUALIFIER, "")
                strikes = to_gateway(action, names, qualifier, begins)
                actions += [] if strikes is None else [strikes]
        return ExperimentRequest(tuple(actions))

    def _stop(self, experiment: TimedExperiment, why: str) -> None:
        if not experiment.running() or experiment.timeline is None:
            return
        try:
            gateway.stop(experiment.id)
        except httpx.HTTPError as error:
            # A Lambda service that is gone strikes nothing either.
            logger.warning("experiment %s: the Lambda service: %s", experiment.id, error)
        experiment.timeline.stopped, experiment.timeline.stopped_by = unix_time(), why
