"""The workers of users' own models in a deployment: each has what a worker has, and the coordinator may invoke it."""

import pytest

from harness.deploy.access import COORDINATOR, Deployment, RoleCall, judge_all
from harness.deploy.checks import check_template
from harness.deploy.model_workers import deployed_before, is_worker, model_workers, with_workers
from harness.deploy.template import describe, load_template, output_name, with_defaults
from harness.errors import HarnessError
from harness.runs.model_function import with_models
from harness.settings import load_settings

NAMES = ("linear_ec_2_fraud", "linear_ec_2_nn_my_model_net")
BODY = with_workers(load_template(), NAMES)
KINDS = ("Repository", "Logs", "Role")
PARAMETERS = {"AvailabilityZones": "us-east-1a,us-east-1b", "S3PrefixListId": "pl-63a5400a"}


def test_every_role_may_do_what_a_workers_may_and_no_more():
    """The whole table of calls is as expected, for the models' workers too."""
    deployment = Deployment(BODY)
    verdicts = judge_all(deployment)

    assert [verdict for verdict in verdicts if not verdict.as_expected] == []
    assert set(NAMES) <= {verdict.call.function for verdict in verdicts}
    calls = [
        RoleCall(caller, "lambda:InvokeFunction", deployment.function(callee), expected, "")
        for caller, callee, expected in (
            (COORDINATOR, NAMES[0], True),
            (COORDINATOR, "linear_ec_2_of_nobody", False),
            (NAMES[0], NAMES[0], True),
            (NAMES[0], NAMES[1], False),
            ("linear_ec_2_nn", NAMES[0], False),
        )
    ]
    assert [call.expected for call in calls] == [deployment.judge(call).allowed for call in calls]


@pytest.mark.slow
def test_the_template_stays_valid():
    """Its linter and the project's rules find nothing."""
    findings = check_template(BODY, with_defaults(BODY, PARAMETERS))
    assert [finding for finding in findings if finding.level == "error"] == []


def test_a_model_adds_three_resources():
    """A deployment without models has the template that it had."""
    assert load_template() == with_workers(load_template(), ())
    added = {each.logical_id for each in describe(BODY)} - {each.logical_id for each in describe(load_template())}
    expected = {f"{stem}{kind}" for stem in ("LinearEc2Fraud", "LinearEc2NnMyModelNet") for kind in KINDS}
    assert expected == added


def test_models_that_a_stack_has_stay_in_it():
    """Their names are in its outputs."""
    registry = "123456789012.dkr.ecr.us-east-1.amazonaws.com/stack"
    outputs = {output_name(name, "RepositoryUri"): f"{registry}/{name}" for name in (*NAMES, "linear_ec_2_nn")}
    assert [*NAMES] == deployed_before({**outputs, "CacheHost": "host"})


def test_too_many_models_for_one_stack_are_refused():
    """CloudFormation takes templates up to a size, and a logical ID once."""
    with pytest.raises(HarnessError, match="CloudFormation takes 51200"):
        with_workers(load_template(), [f"linear_ec_2_model_{letter}" for letter in "abcdef"])
    with pytest.raises(HarnessError, match="have the same name in CloudFormation"):
        with_workers(load_template(), ("linear_ec_2_a_1", "linear_ec_2_a1"))


def test_models_of_harness_toml_are_deployed(tmp_path):
    """Each table is a worker, as the coordinator's and the others are."""
    (tmp_path / "fraud.py").write_text("class Net:\n    pass\n")
    (tmp_path / "harness.toml").write_text('[models.fraud]\npath = "fraud.py"\nname = "Net"\n')
    settings = with_models(load_settings(tmp_path))
    assert ["linear_ec_2_fraud"] == model_workers(settings)
    assert all(map(is_worker, ("linear_ec_2", "linear_ec_2_nn", *NAMES)))
    assert not any(map(is_worker, (COORDINATOR, "linear_ec_20", "mine")))
