"""A deployment end to end, on emulated AWS in containers: made, made again, interrupted, run on, removed."""

import dataclasses
import json
import signal
import subprocess
from functools import partial

import pytest

from harness.deploy.rehearsal import standing_rehearsal
from harness.images.catalogue import RECIPES
from harness.presets.zones import CACHE_ZONE
from harness.release.record import CheckResult, Verified, load_release, now, save_release
from harness.release.verify import image_under_test
from harness.settings import load_settings
from harness.system.probes import wait_until
from tests.conftest import HARNESS
from tests.support.own_models import softmax_file
from tests.support.rehearsals import FUNCTIONS, make_project, run_harness, stop_project

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("rehearsal")]

# What may differ between a function of a local run and a deployed one: identities, and what is counted or timed.
IDENTITIES = {
    "FunctionArn",
    "Role",
    "VpcConfig",
    "CodeSha256",
    "LastModified",
    "RevisionId",
    "OnFailure",
    "ReservedConcurrentExecutions",
}
# Untagged: the bucket's policy, two rules of security groups, two associations of the route table.
UNTAGGED = 5


@pytest.fixture(scope="module")
def project(engine, tmp_path_factory):
    """A copy of the project with two functions, whose images are built from it and on record as verified."""
    root = make_project(engine, tmp_path_factory.mktemp("project"))
    yield root
    stop_project(root)


@pytest.fixture(scope="module")
def harness(project):
    """Runs the console script in the project."""
    return partial(run_harness, project)


@pytest.fixture(scope="module")
def deployed(harness):
    """A deployment, and what the command printed."""
    outcome = json.loads(harness("deploy", "--rehearse", "--yes", "--json").stdout)
    yield outcome
    harness("destroy", "--rehearse", "--yes", "--empty")


def test_everything_of_the_plan_stands(harness, deployed):
    """Each resource of the template, and each function, is there by its tag; the plan told its price before."""
    standing = json.loads(harness("destroy", "--rehearse", "--dry-run", "--json").stdout)["left"]

    assert "deployed" == deployed["status"]
    assert {"create"} == {resource["action"] for resource in deployed["plan"]["resources"]}
    assert pytest.approx(0.027) == deployed["plan"]["usd_per_hour"]
    # The stack itself carries its tag, too.
    assert len(deployed["plan"]["resources"]) - UNTAGGED + len(FUNCTIONS) + 1 == len(standing)
    assert pytest.approx(24 * 0.027, abs=0.01) == sum(entry["usd_per_day"] for entry in standing)


def test_functions_are_in_the_caches_zone(project, deployed):
    """Each has one subnet, in the zone that the plan and the stack's output name; the endpoint has no other."""
    target = standing_rehearsal(load_settings(project))
    subnets = {
        subnet
        for name in FUNCTIONS
        for subnet in target.client("lambda").get_function_configuration(FunctionName=name)["VpcConfig"]["SubnetIds"]
    }
    (described,) = target.client("ec2").describe_subnets(SubnetIds=list(subnets))["Subnets"]
    endpoints = target.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]
    zones = deployed["plan"]["zones"]

    assert described["AvailabilityZone"] == deployed["outputs"]["CacheZone"] == zones["cache"]
    assert [zones["cache"]] == zones["functions"]
    assert CACHE_ZONE == described["AvailabilityZoneId"] == zones["cache_id"]
    assert subnets == {subnet for endpoint in endpoints for subnet in endpoint.get("SubnetIds", [])}


def test_the_second_time_changes_nothing(harness, deployed):
    """Neither stack, nor images, nor functions; and it says so."""
    again = harness("deploy", "--rehearse", "--yes")
    dry = json.loads(harness("deploy", "--rehearse", "--dry-run", "--json").stdout)

    assert "nothing had to change" in again.stdout
    assert deployed["outputs"] == dry["outputs"]
    assert {"keep"} == {entry["action"] for key in ("resources", "images") for entry in dry["plan"][key]}
    assert [[], []] == [function["changes"] for function in dry["plan"]["functions"]]


@pytest.mark.usefixtures("deployed")
def test_a_run_on_the_deployment_trains_from_its_bucket(harness, project):
    """The same command, the same summary: on the pushed digests, with data and results in the one bucket."""
    summary = json.loads(harness("run", "--target", "rehearsal", "--n-workers", "2", "--json").stdout)

    bucket = summary["job"]["data_bucket"]
    pushed = {
        entry["image"]["name"]: entry["pushes"][-1]["digest"]
        for entry in json.loads((project / "release" / "images.json").read_text())["images"]
    }
    assert "succeeded" == summary["status"]
    assert pushed == summary["images"]
    assert bucket == summary["job"]["result_bucket"]
    assert summary["job"]["data_prefix"].startswith("data/synthetic-2-")
    assert f"s3://{bucket}/runs/{summary['run_id']}/model.npz" == summary["model"]["location"]
    assert summary["cost_usd"] > 0
    assert summary["run_id"] in harness("runs", "--target", "rehearsal").stdout
    assert "REPORT RequestId" in harness("logs", "linear_ec_2", "--target", "rehearsal").stdout
    rows = project / "rows.libsvm"
    rows.write_text("1 1:0.5 2:-1.5\n0 3:2.5\n", encoding="utf-8")
    scored = harness("predict", summary["run_id"], "--target", "rehearsal", "--file", str(rows))
    assert 3 == len(scored.stdout.splitlines())
    forecast = json.loads(harness("forecast", summary["run_id"], "--target", "rehearsal", "--json").stdout)
    assert summary["run_id"] == forecast["run"]["run_id"]
    wrong = harness("invoke", "linear_ec_2", "--target", "rehearsal", "--payload", "{}", code=1)
    assert "job field `data_bucket` is missing" in wrong.stdout


@pytest.mark.usefixtures("deployed")
def test_a_deployed_function_differs_from_a_local_one_in_identities_only(harness, project):
    """What a run on this machine creates from the same declaration has the same configuration."""
    told = json.loads(harness("deploy", "--rehearse", "--compare", "--json").stdout)

    assert set(FUNCTIONS) == {each["function"] for each in told}
    assert {"Role", "VpcConfig", "CodeSha256"} <= {each["key"] for each in told} <= IDENTITIES

    client = standing_rehearsal(load_settings(project)).client("lambda")
    client.update_function_configuration(FunctionName="linear_ec_2", MemorySize=2048)
    try:
        table = harness("deploy", "--rehearse", "--compare", code=1).stdout
    finally:
        harness("deploy", "--rehearse", "--yes")
    (line,) = [line for line in table.splitlines() if "NOT EXPECTED" in line]
    assert "MemorySize" in line
    assert "2048" in line


@pytest.mark.usefixtures("deployed")
def test_a_model_of_ones_own_joins_the_deployment(engine, harness, project, tmp_path):
    """It has a function, a repository and a role; a run trains it, and a later deployment leaves it where it is."""
    model, name = ("--model", f"{softmax_file(tmp_path)}:Softmax"), "linear_ec_2_softmax_model_softmax"
    harness("images", "build", name, *model)
    recipe = dataclasses.replace(RECIPES["linear_ec_2"], name=name)
    facts = image_under_test(engine, recipe).facts
    verified = Verified(facts, (CheckResult("assumed", "by this test", 0.0),), now())
    save_release(project, load_release(project).with_entry(verified))

    plan = json.loads(harness("deploy", "--rehearse", "--yes", "--json", *model).stdout)["plan"]
    command = ("run", "--target", "rehearsal", *model, "--data", "synthetic:rows=900,features=5", "--n-workers", "2")
    summary = json.loads(harness(*command, "--json").stdout)

    created = [each["logical_id"] for each in plan["resources"] if each["action"] == "create"]
    assert {f"LinearEc2SoftmaxModelSoftmax{kind}" for kind in ("Role", "Repository", "Logs")} == set(created)
    assert {"linear_ec_1", name} == set(summary["images"])
    assert summary["epochs"][-1]["loss"] < summary["epochs"][0]["loss"]
    assert "nothing had to change" in harness("deploy", "--rehearse", "--yes").stdout
    assert name in harness("destroy", "--rehearse", "--dry-run", "--json").stdout


@pytest.mark.usefixtures("deployed")
def test_the_originals_manual_path_works(harness, project):
    """`update-function-code` with an image's URI, then `invoke`, as its README has them."""
    client = standing_rehearsal(load_settings(project)).client("lambda")
    uri = client.get_function(FunctionName="linear_ec_2")["Code"]["ImageUri"]

    client.update_function_code(FunctionName="linear_ec_2", ImageUri=uri)
    client.get_waiter("function_updated_v2").wait(FunctionName="linear_ec_2")
    answer = client.invoke(FunctionName="linear_ec_1:live", Payload=b'{"n_workers": 0, "data_bucket": "abc"}')

    assert "Unhandled" == answer["FunctionError"]
    assert "JobError" == json.loads(answer["Payload"].read())["errorType"]
    assert "1" == answer["ExecutedVersion"]
    assert "nothing had to change" in harness("deploy", "--rehearse", "--yes").stdout


@pytest.mark.usefixtures("deployed")
def test_what_differs_from_the_working_tree_is_told_before_a_run(harness, project):
    """Then a deployment brings it up to date, and publishes a version."""
    file = project / "harness.toml"
    before = file.read_text()
    file.write_text(before.replace("timeout_s = 900", "timeout_s = 800"), encoding="utf-8")
    try:
        run = harness("run", "--target", "rehearsal", "--n-workers", "2")
        deploy = harness("deploy", "--rehearse", "--yes")
    finally:
        file.write_text(before, encoding="utf-8")

    assert "linear_ec_2: Timeout differs from the working tree" in run.stderr
    assert "update   function linear_ec_2     Timeout, version and alias live" in deploy.stderr
    harness("deploy", "--rehearse", "--yes")


@pytest.mark.usefixtures("deployed")
def test_a_permission_that_is_missing_ends_the_run_as_on_aws(harness, project):
    """The worker may no longer read rows: it says so, with the call, and nobody waits for it."""
    iam = standing_rehearsal(load_settings(project)).client("iam")
    (role,) = [role for role in iam.list_roles()["Roles"] if "-LinearEc2Role-" in role["RoleName"]]
    (policy,) = iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
    named = {"RoleName": role["RoleName"], "PolicyName": policy}
    before = iam.get_role_policy(**named)["PolicyDocument"]
    less = [statement for statement in before["Statement"] if statement["Sid"] != "ReadData"]
    iam.put_role_policy(**named, PolicyDocument=json.dumps({**before, "Statement": less}))
    try:
        run = harness("run", "--target", "rehearsal", "--n-workers", "2", code=1)
    finally:
        iam.put_role_policy(**named, PolicyDocument=json.dumps(before))

    assert "AccessDenied" in run.stderr
    assert "is not authorized to perform: s3:GetObject on resource" in run.stderr


@pytest.mark.usefixtures("deployed")
def test_more_workers_than_are_reserved_are_refused(harness):
    """A barrier among them would never be passed."""
    refused = harness("run", "--target", "rehearsal", "--n-workers", "11", code=1)

    assert "10 environments are reserved for linear_ec_2" in refused.stderr


def test_a_deployment_killed_at_any_point_is_finished_by_the_next(harness, project, deployed, engine):
    """In the middle of the stack, of the pushes and of the functions; in the end nothing is left."""
    assert "deployed" == deployed["status"]
    harness("destroy", "--rehearse", "--yes", "--empty")
    for sight in ("CREATE_COMPLETE      SubnetA", "linear_ec_1@sha256", "function     linear_ec_1"):
        _kill_at(sight, project)

    last = json.loads(harness("deploy", "--rehearse", "--yes", "--json").stdout)
    lambda_ = standing_rehearsal(load_settings(project)).client("lambda")
    kept = lambda_.get_function_concurrency(FunctionName="linear_ec_2")["ReservedConcurrentExecutions"]
    run = json.loads(harness("run", "--target", "rehearsal", "--json").stdout)
    removed = json.loads(harness("destroy", "--rehearse", "--yes", "--empty", "--json").stdout)

    assert "keep" == last["plan"]["resources"][0]["action"]
    assert 10 == kept
    assert "succeeded" == run["status"]
    assert 4 == run["job"]["n_workers"]
    assert "removed" == removed["status"]
    assert [] == removed["left"]
    ours = {"label": f"lambda-harness.project={project}"}
    assert [] == engine.containers.list(all=True, filters=ours, sparse=True)
    assert [] == engine.networks.list(filters=ours)
    # Names of a registry that is gone would be pushed to by the next deployment.
    assert "127.0.0.1" not in (project / "release" / "images.json").read_text()


def test_a_stack_that_is_removed_under_a_deployment_is_told(harness, project):
    """Not as whatever fails first without it; the next deployment makes it anew."""

    def remove():
        target = standing_rehearsal(load_settings(project))
        target.client("cloudformation").delete_stack(StackName="lambda-harness")

    told = _deploy_until("linear_ec_1@sha256", project, lambda _process: remove(), code=1)

    harness("destroy", "--rehearse", "--yes", "--empty")
    assert "the stack lambda-harness was CREATE_COMPLETE and is DELETE_" in told
    assert "run `harness deploy` again" in told


def _kill_at(sight, project):
    """Starts a deployment and kills it without a warning when a line is seen."""
    _deploy_until(sight, project, lambda process: process.send_signal(signal.SIGKILL), code=-signal.SIGKILL)


def _deploy_until(sight, project, act, code):
    """Starts a deployment, does something when a line is seen, and answers with all that it has told."""
    log = project / "deploy.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [HARNESS, "deploy", "--rehearse", "--yes"], cwd=project, stdout=output, stderr=output
        ) as process,
    ):
        seen = wait_until(lambda: sight in log.read_text() or process.poll() is not None, 300)
        act(process)
    told = log.read_text()
    assert seen, told
    assert sight in told, told
    assert code == process.returncode, told
    return told
