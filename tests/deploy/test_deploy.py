"""A deployment's steps against the emulation: what they change, what they leave alone, and what they say when it fails.

What takes images and containers is in test_rehearsal.py.
"""

import os
import signal
import subprocess
import threading

import msgspec
import pytest
from botocore.exceptions import ClientError

from harness.aws.clients import emulation_session
from harness.aws.errors import aws_errors
from harness.aws.function_deployer import Code, DesiredFunction, Placement, create_or_update, pending
from harness.cli.target_options import interruptions
from harness.deploy import functions, preflight, stack
from harness.deploy.destroy import DestroyRequest, destroy
from harness.deploy.inventory import standing
from harness.deploy.plan import plan_resources
from harness.deploy.prices import prices_of
from harness.deploy.rehearsal import standing_rehearsal
from harness.deploy.run_target import deployed_run_target
from harness.deploy.target import Target, aws_target
from harness.deploy.template import describe, load_template, with_defaults
from harness.deploy.zones import region_parameters
from harness.errors import HarnessError
from harness.runs.functions import package
from harness.settings import FunctionSettings, load_settings
from tests.conftest import HARNESS
from tests.support.functions import HANDLERS

ACCOUNT = "123456789012"


@pytest.fixture(scope="module")
def body():
    """The template."""
    return load_template()


@pytest.fixture(scope="module")
def parameters(target, body):
    """The value of every parameter."""
    return with_defaults(body, region_parameters(target.session, target.endpoint("ec2")))


@pytest.fixture(scope="module")
def cfn(target):
    """CloudFormation."""
    return target.client("cloudformation")


@pytest.fixture
def make(cfn, name, body, parameters, faults, target):
    """Makes the template's stack, and removes at the end whatever is left of it; answers with the events told."""

    def make_stack(**changed):
        told = []
        found = stack.settled(cfn, name, told.append)
        found = stack.clear(cfn, found, told.append) if found else None
        change_set = stack.propose(cfn, name, found, body, {**parameters, **changed}, functions.tags_of("test", name))
        if change_set is not None:
            stack.execute(cfn, change_set, told.append)
        return told

    yield make_stack
    faults()
    destroy(target, _settings(), DestroyRequest(name, empty=True), log=_silent, agree=lambda _: True)
    assert [] == standing(target, name, [])


# ---- The stack -------------------------------------------------------------------------------------------------------


def test_every_resource_of_the_template_stands_and_its_events_are_told(cfn, make, name, body, parameters):
    """After the command the stack has what the template lists, each told when it begins and when it is there."""
    told = make()

    expected = {resource.logical_id for resource in describe(body, parameters)}
    made = cfn.list_stack_resources(StackName=name)["StackResourceSummaries"]
    assert expected == {resource["LogicalResourceId"] for resource in made}
    for logical_id in expected:
        assert [f"CREATE_IN_PROGRESS   {logical_id}", f"CREATE_COMPLETE      {logical_id}"] == [
            line.rpartition("  ")[0] for line in told if f" {logical_id}  " in line
        ]
    assert told[-1].startswith(f"CREATE_COMPLETE      {name}")


def test_the_same_template_again_changes_nothing(cfn, make, name, body, parameters):
    """CloudFormation is asked, and nothing is left of the question."""
    make()
    before = stack.read_stack(cfn, name)

    change_set = stack.propose(cfn, name, before, body, parameters, functions.tags_of("test", name))

    assert change_set is None
    assert [] == cfn.list_change_sets(StackName=name)["Summaries"]
    assert before == stack.read_stack(cfn, name)


def test_a_change_is_planned_resource_by_resource(cfn, make, name, body, parameters):
    """Only what differs is to be updated, and the plan's price is that of afterwards."""
    make()
    changed = {**parameters, "CacheNodes": "2"}
    tags = functions.tags_of("test", name)

    change_set = stack.propose(cfn, name, stack.read_stack(cfn, name), body, changed, tags)
    planned = plan_resources(
        describe(body, changed), changed, prices_of("us-east-1"), exists=True, change_set=change_set
    )
    stack.withdraw(cfn, change_set)

    assert {"Cache": "update"} == {one.logical_id: one.action for one in planned if one.action != "keep"}
    assert [0.034] == [one.usd_per_hour for one in planned if one.logical_id == "Cache"]
    assert {"CacheNodes": "1"} == {
        key: value for key, value in stack.read_stack(cfn, name).parameters.items() if key == "CacheNodes"
    }


def test_a_proposal_that_is_declined_leaves_no_stack(cfn, name, body, parameters):
    """The stack that exists only for the sake of a change set goes with it."""
    change_set = stack.propose(cfn, name, None, body, parameters, {})
    stack.withdraw(cfn, change_set)

    found = stack.settled(cfn, name, _silent)

    assert found is None


def test_a_stack_that_somebody_else_is_about_to_make_is_left_to_them(cfn, name, body, parameters):
    """Two proposals for one stack: whoever declines takes back only their own."""
    first, second = (stack.propose(cfn, name, None, body, parameters, {}) for _ in range(2))

    stack.withdraw(cfn, first)
    left = [summary["ChangeSetId"] for summary in cfn.list_change_sets(StackName=name)["Summaries"]]
    stack.withdraw(cfn, second)

    assert [second.id] == left
    assert stack.read_stack(cfn, name) is None


def test_a_failure_names_the_resource_and_the_reason_and_takes_everything_back(make, name, faults, target):
    """CloudFormation rolls back; the first cause is told, not what was cancelled because of it."""
    faults(resources={"Cache": "There is no capacity for this node type."})

    with pytest.raises(HarnessError) as caught:
        make()

    assert caught.value.what.startswith("Cache (AWS::ElastiCache::CacheCluster) cannot be created: ")
    assert "There is no capacity for this node type." in caught.value.what
    assert f"the stack {name} is ROLLBACK_COMPLETE" == caught.value.where
    assert "run the command again" in caught.value.remedy
    assert [f"stack/{name}/"] == [one.arn.split(":")[5][: len(name) + 7] for one in standing(target, name, [])]


def test_a_stack_in_rollback_complete_is_deleted_first(cfn, make, name, faults):
    """The same command, run again when the cause is gone, succeeds."""
    faults(resources={"Cache": "There is no capacity for this node type."})
    with pytest.raises(HarnessError):
        make()
    faults()

    told = make()

    assert f"the stack {name} is ROLLBACK_COMPLETE, left by an earlier attempt: deleting it" == told[0]
    assert stack.read_stack(cfn, name).stands


def test_an_update_that_fails_leaves_the_stack_as_it_was(cfn, make, name, faults):
    """It can be updated again at once."""
    make()
    faults(resources={"Cache": "Quota of nodes exceeded"})

    with pytest.raises(HarnessError, match=r"Cache .* cannot be updated: .*Quota of nodes exceeded"):
        make(CacheNodes="3")
    faults()

    assert "1" == stack.read_stack(cfn, name).parameters["CacheNodes"]
    assert any("UPDATE_COMPLETE      Cache" in line for line in make(CacheNodes="2"))


def test_a_stack_that_another_command_is_making_is_waited_for(cfn, make, name, body, parameters, faults):
    """Nothing is started beside it; what it comes to is taken up."""
    faults(resource_s=0.05)
    change_set = stack.propose(cfn, name, None, body, parameters, functions.tags_of("test", name))
    cfn.execute_change_set(ChangeSetName=change_set.id, StackName=change_set.stack_id)
    told = []

    found = stack.settled(cfn, name, told.append)

    assert f"the stack {name} is CREATE_IN_PROGRESS: waiting" == told[0]
    assert found.stands
    assert make() == []


def test_a_command_that_dies_while_the_stack_is_made_does_no_harm(cfn, make, name, body, parameters, faults):
    """CloudFormation goes on by itself, and the next command finds what it needs."""
    faults(resource_s=0.02)
    change_set = stack.propose(cfn, name, None, body, parameters, functions.tags_of("test", name))
    seen = threading.Event()

    def interrupted(line):
        if "Vpc" in line:
            seen.set()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stack.execute(cfn, change_set, interrupted)

    assert seen.is_set()
    make()
    assert stack.read_stack(cfn, name).stands


# ---- A template edited by hand ---------------------------------------------------------------------------------------


def test_who_comes_second_is_told_to_come_again(cfn, make, name):
    """Another command has carried out, or taken back, the change set that this one has proposed."""
    make()

    with pytest.raises(HarnessError, match="another command is at work") as caught, aws_errors("deploying"):
        cfn.execute_change_set(ChangeSetName="taken-back", StackName=name)

    assert "run the command again" in caught.value.remedy


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_says_that_aws_goes_on(number):
    """Ctrl-C, or the end of a CI job, stops the command, not CloudFormation."""
    with pytest.raises(HarnessError, match="harness destroy was interrupted") as caught, interruptions("destroy"):
        signal.raise_signal(number)

    assert "goes on" in caught.value.where
    assert "harness destroy" in caught.value.remedy


def test_a_template_with_an_unknown_type_is_refused_before_a_stack_exists(cfn, name, body, parameters):
    """Nothing is reported as made that was not."""
    edited = body.replace("Type: AWS::SQS::Queue", "Type: AWS::SQS::Heap")

    with pytest.raises(ClientError, match="AWS::SQS::Heap"):
        stack.propose(cfn, name, None, edited, parameters, {})

    assert stack.read_stack(cfn, name) is None


def test_a_model_above_the_items_size_is_told_before_it_is_deployed():
    """It works, in pieces; and a cache that cannot hold the rounds of all workers does not."""
    findings, _ = preflight.offline(load_settings(), {}, 10, None, 4 << 20)

    assert "CacheItemBytes" in [finding.where for finding in findings]
    assert [] == preflight.offline(load_settings(), {}, 10, None, 1000)[0]


def test_checks_without_aws_know_the_regions():
    """A misspelt region is told with the one that is meant."""
    with pytest.raises(HarnessError, match="no region us-esat-1") as caught:
        preflight.offline(load_settings(), {}, 10, "us-esat-1")

    assert "us-east-1" in caught.value.remedy


def test_a_template_with_a_misspelt_property_is_found_by_the_checks(body, parameters):
    """cfn-lint's finding ends the command, with line and what is wrong."""
    edited = body.replace("CacheNodeType: !Ref", "CacheNodeKind: !Ref", 1)

    findings = preflight.findings_of(_settings(), edited, parameters, 4)

    with pytest.raises(HarnessError, match=r"CacheNodeType. is a required property"):
        preflight.refuse_errors(findings, _silent)


def test_a_stack_without_an_output_is_named(cfn, make, name):
    """Somebody took an output out of the template: the function that needs it cannot be placed."""
    make()
    found = stack.read_stack(cfn, name)
    outputs = {key: value for key, value in found.outputs.items() if key != "LinearEc2RoleArn"}

    with pytest.raises(HarnessError, match=f"the stack {name} has no output LinearEc2RoleArn"):
        functions.placement_of(stack.StackInfo(found.id, name, found.status, outputs=outputs), "linear_ec_2", {})


# ---- Who is calling, and where ---------------------------------------------------------------------------------------


def test_the_account_is_told(target):
    """Number, caller, region and concurrency, in two lines."""
    told = []

    account = preflight.check_account(target, ACCOUNT, told.append)

    assert ACCOUNT == account.id
    assert told[0].startswith(f"account      {ACCOUNT}, as arn:aws:sts::")
    assert told[1].startswith("concurrency  ")


def test_another_account_than_expected_is_refused(target):
    """Before anything is read or changed."""
    with pytest.raises(HarnessError, match=f"these credentials are of account {ACCOUNT}, not of 999999999999"):
        preflight.check_account(target, "999999999999", _silent)


@pytest.mark.parametrize("code", ["ExpiredToken", "ExpiredTokenException", "RequestExpired"])
def test_expired_credentials_are_told(target, faults, code):
    """Whatever the service calls it, the user reads one sentence and what to do."""
    faults(
        calls=[{"service": "sts", "error": code, "message": "The security token included is expired", "status": 403}]
    )

    with pytest.raises(HarnessError, match="the AWS credentials have expired") as caught:
        preflight.check_account(target, None, _silent)

    assert "aws sso login" in caught.value.remedy


def test_a_deployer_without_permission_is_told_where_to_look(target, faults):
    """The call is named, and the policy that allows it."""
    faults(calls=[{"service": "sts", "error": "AccessDenied", "message": "not authorized", "status": 403}])

    with pytest.raises(HarnessError, match="these credentials may not do that: GetCallerIdentity") as caught:
        preflight.check_account(target, None, _silent)

    assert "deployer-policy.json" in caught.value.remedy


def test_a_throttled_call_is_repeated(target, faults):
    """AWS refuses who asks too often; nobody notices."""
    faults(calls=[{"service": "sts", "error": "Throttling", "message": "Rate exceeded", "times": 2}])

    assert ACCOUNT == preflight.check_account(target, None, _silent).id


def test_throttling_without_an_end_is_told(monkeypatch, cloud, faults):
    """After several tries the command ends, and says that it can be run again."""
    monkeypatch.setattr("harness.deploy.target.SEVERAL_TRIES", _few_tries())
    faults(calls=[{"service": "sts", "error": "Throttling", "message": "Rate exceeded"}])

    with pytest.raises(HarnessError, match="AWS throttles GetCallerIdentity") as caught:
        preflight.check_account(Target("rehearsal", emulation_session(cloud.endpoints), cloud), None, _silent)

    assert "goes on where it was" in caught.value.remedy


@pytest.mark.parametrize(
    ("region", "message"), [("mars-north-1", "there is no region mars-north-1"), ("us-iso-east-1", None)]
)
def test_a_region_is_checked_before_it_is_called(region, message):
    """A region that does not exist, or that lacks a service, is named without a call."""
    target = aws_target(region)
    if message is None:
        target.session.get_available_regions = _without("ecr", target)
        message = f"region {region} has no ecr"

    with pytest.raises(HarnessError, match=message):
        preflight.check_region(target)


def test_a_bucket_of_the_name_that_is_no_stacks_is_told_before_the_stack_is_made(target, name):
    """A name is the whole world's."""
    bucket = f"{name}-data-{ACCOUNT}-us-east-1"
    target.client("s3").create_bucket(Bucket=bucket)

    with pytest.raises(HarnessError, match=f"there is a bucket {bucket} already") as caught:
        preflight.check_bucket_name(target, bucket)

    target.client("s3").delete_bucket(Bucket=bucket)
    assert "choose another --stack" in caught.value.remedy


def test_a_bucket_name_that_is_taken_meanwhile_fails_the_stack_with_its_name(cfn, make, name, target):
    """What the check could not see, CloudFormation says, and rolls back."""
    bucket = f"{name}-data-{ACCOUNT}-us-east-1"
    target.client("s3").create_bucket(Bucket=bucket)

    with pytest.raises(HarnessError, match=r"DataBucket \(AWS::S3::Bucket\) cannot be created: .*already"):
        make()

    target.client("s3").delete_bucket(Bucket=bucket)
    make()
    assert stack.read_stack(cfn, name).stands


def test_a_new_accounts_concurrency_is_too_little(body, parameters):
    """Ten at once leave nothing to reserve: the finding says what to ask AWS for."""
    account = preflight.Account(ACCOUNT, "arn", 10)
    settings = functions.with_reservations(_settings(), 8)

    findings = preflight.findings_of(settings, body, parameters, 8, account=account)

    with pytest.raises(HarnessError, match="concurrent invocations") as caught:
        preflight.refuse_errors(findings, _silent)
    assert "quota" in caught.value.remedy


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "error: there are no AWS credentials"),
        ({"AWS_PROFILE": "nobody"}, "error: AWS_PROFILE names a profile that there is not"),
        ({"AWS_ACCESS_KEY_ID": "AKIA"}, "error: the AWS credentials are incomplete"),
    ],
)
def test_without_credentials_the_command_ends_in_three_lines(tmp_path, environment, message):
    """No traceback, exit code 1, and what to do."""
    (tmp_path / "harness.toml").write_text("", encoding="utf-8")
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}

    done = subprocess.run(
        [HARNESS, "deploy", "--yes", "--region", "us-east-1"],
        cwd=tmp_path,
        env={**variables, **environment},
        capture_output=True,
        text=True,
        check=False,
    )

    assert 1 == done.returncode
    assert message in done.stderr
    assert len(done.stderr.splitlines()) <= 3


def test_nobody_to_ask_is_told(tmp_path):
    """A script says --yes, or nothing happens."""
    (tmp_path / "harness.toml").write_text("", encoding="utf-8")

    done = subprocess.run([HARNESS, "destroy", "--rehearse"], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert 0 == done.returncode
    assert "no rehearsal is up" in done.stdout


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--yes", "--parameter", "CacheNode=2"], "the template has no parameter CacheNode"),
        (["--yes", "--parameter", "CacheNodes=x"], "parameter CacheNodes is 'x'"),
        ([], "nobody is there to be asked"),
        (["--yes", "--expect-account", "abc"], "an account's number has 12 digits"),
        (["--yes", "--zones", "2"], "--zones is '2'; allowed: one, all"),
        (["--yes", "--zones", "all", "--parameter", "FunctionZones=one"], "they set the same parameter"),
        (["--yes", "--network", "aws", "--parameter", "PrimaryZone=2"], "the emulated cache is in the first zone"),
    ],
)
def test_what_can_be_told_before_a_rehearsal_starts_starts_none(tmp_path, flags, message):
    """No container is up after a mistake in the command line."""
    (tmp_path / "harness.toml").write_text("", encoding="utf-8")

    done = subprocess.run(
        [HARNESS, "deploy", "--rehearse", *flags],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode in {1, 2}
    assert message in done.stderr
    assert not list(tmp_path.glob(".harness/*"))


def test_a_run_on_what_is_not_deployed_is_refused(target, name):
    """Before any data is made."""
    with pytest.raises(HarnessError, match=f"{name} is not deployed in us-east-1") as caught:
        deployed_run_target(target, name, _silent)

    assert "harness deploy --rehearse" in caught.value.remedy


def test_no_rehearsal_is_no_target(project):
    """Nothing is started by asking."""
    assert standing_rehearsal(project) is None


# ---- Functions, by the code that makes them locally, too -------------------------------------------------------------


@pytest.fixture
def wanted(target):
    """A function as a deployment has it, but for its image; in the account's default network."""
    ec2 = target.client("ec2")
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"] if subnet["DefaultForAz"]][:2]
    vpcs = [{"Name": "isDefault", "Values": ["true"]}]
    vpc = ec2.describe_vpcs(Filters=vpcs)["Vpcs"][0]["VpcId"]
    groups = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]
    settings = FunctionSettings(
        source=HANDLERS, handler="echo.handler", timeout_s=7, retries=1, recursive=True, reserved_concurrency=3
    )
    code = package(settings)
    sqs = target.client("sqs")
    queue = sqs.create_queue(QueueName="failures")["QueueUrl"]
    placement = Placement(
        role=f"arn:aws:iam::{ACCOUNT}:role/of-the-stack",
        subnets=tuple(subnets),
        security_groups=(groups[0]["GroupId"],),
        tags={"lambda-harness:stack": "s"},
        failure_queue=f"arn:aws:sqs:us-east-1:{ACCOUNT}:failures",
        alias="live",
    )
    yield DesiredFunction("deployed", settings, Code(_sha256(code), {"ZipFile": code}), placement)
    functions.remove(target.client("lambda"), "deployed", _silent)
    sqs.delete_queue(QueueUrl=queue)


def test_a_function_is_made_once(target, wanted):
    """All that it is to have is there after the first time, and the second changes nothing."""
    client = target.client("lambda")

    first, second = create_or_update(client, wanted), create_or_update(client, wanted)

    assert [
        "created",
        "reserved concurrency",
        "events",
        "recursion",
        "version and alias live",
        "events of live",
    ] == first
    assert [] == second
    found = client.get_function(FunctionName="deployed")
    assert set(wanted.placement.subnets) == set(found["Configuration"]["VpcConfig"]["SubnetIds"])
    assert {"ReservedConcurrentExecutions": 3} == found["Concurrency"]
    assert "s" == found["Tags"]["lambda-harness:stack"]
    assert "1" == client.get_alias(FunctionName="deployed", Name="live")["FunctionVersion"]
    assert "Allow" == client.get_function_recursion_config(FunctionName="deployed")["RecursiveLoop"]
    for qualifier in ({}, {"Qualifier": "live"}, {"Qualifier": "1"}):
        events = client.get_function_event_invoke_config(FunctionName="deployed", **qualifier)
        assert 1 == events["MaximumRetryAttempts"]
        assert events["DestinationConfig"]["OnFailure"]["Destination"].endswith(":failures")


@pytest.mark.parametrize(
    ("change", "steps"),
    [
        ({"timeout_s": 9}, ["Timeout", "version and alias live", "events of live"]),
        ({"memory_mb": 256}, ["MemorySize", "version and alias live", "events of live"]),
        ({"reserved_concurrency": 5}, ["reserved concurrency"]),
        ({"reserved_concurrency": 0}, ["reserved concurrency"]),
        ({"retries": 0}, ["events", "events of live"]),
        ({"recursive": False}, ["recursion"]),
    ],
)
def test_only_what_differs_is_changed(target, wanted, change, steps):
    """Asking changes nothing; then each step is named by what it changes."""
    client = target.client("lambda")
    create_or_update(client, wanted)
    changed = DesiredFunction(
        "deployed", msgspec.structs.replace(wanted.settings, **change), wanted.code, wanted.placement
    )

    asked, made = [step.what for step in pending(client, changed)], create_or_update(client, changed)

    assert steps == asked
    assert steps == made
    assert [] == pending(client, changed)


def test_a_function_that_stopped_half_way_is_completed(target, wanted):
    """Killed after CreateFunction, the command finds the rest to do."""
    client = target.client("lambda")
    next(iter(pending(client, wanted))).run()

    assert ["reserved concurrency", "events", "recursion", "version and alias live", "events of live"] == (
        create_or_update(client, wanted)
    )


def test_what_an_interrupted_deployment_did_not_reserve_was_not_given_up(target, wanted):
    """Killed between CreateFunction and the reservation: the next deployment reserves what a new one would."""
    client, worker = target.client("lambda"), msgspec.structs.replace(wanted.settings, reserved_concurrency=0)
    try:
        unfinished = DesiredFunction("linear_ec_2", wanted.settings, wanted.code, wanted.placement)
        next(iter(pending(client, unfinished))).run()
        assert 10 == functions.reserved(client, "s", 10)

        create_or_update(client, unfinished)
        assert 3 == functions.reserved(client, "s", 10)

        create_or_update(client, DesiredFunction("linear_ec_2", worker, wanted.code, wanted.placement))
        assert 0 == functions.reserved(client, "s", 10)
    finally:
        functions.remove(client, "linear_ec_2", _silent)


def test_more_concurrency_than_the_account_has_is_told(target, wanted):
    """Lambda keeps 100 for all others: what was asked for, its words, and what to do."""
    client = target.client("lambda")
    greedy = msgspec.structs.replace(wanted.settings, reserved_concurrency=950)

    with pytest.raises(HarnessError, match="950 environments cannot be reserved for it") as caught:
        create_or_update(client, DesiredFunction("deployed", greedy, wanted.code, wanted.placement))

    assert "Service Quotas" in caught.value.remedy


def test_a_function_of_somebody_else_is_not_taken_over(target, wanted):
    """It has the name, but not the stack's tag."""
    client = target.client("lambda")
    create_or_update(client, wanted)

    with pytest.raises(HarnessError, match="there is a function deployed already, and it is not of the stack other"):
        functions.check_owner(client, ["deployed"], "other")

    functions.check_owner(client, ["deployed", "not-there"], "s")


# ---- Removing --------------------------------------------------------------------------------------------------------


def test_a_bucket_that_is_not_empty_is_kept_until_told(cfn, make, name, target):
    """All that costs by the hour goes; the data stays, with the stack, and a second removal takes it along."""
    make()
    bucket = f"{name}-data-{ACCOUNT}-us-east-1"
    target.client("s3").put_object(Bucket=bucket, Key="runs/r/model.npz", Body=b"weights")

    kept = _remove(target, name, empty=False)
    with pytest.raises(HarnessError, match="partly deleted: DELETE_FAILED"):
        stack.clear(cfn, stack.read_stack(cfn, name), _silent)
    gone = _remove(target, name, empty=True)

    assert "partly" == kept.status
    assert [bucket] == [entry.name for entry in kept.removal.contents]
    assert {"cloudformation", "s3"} == {entry.arn.split(":")[2] for entry in kept.left}
    assert 0 == pytest.approx(sum(entry.usd_per_day for entry in kept.left), abs=1e-6)
    assert "removed" == gone.status
    assert [] == gone.left
    assert "nothing" == _remove(target, name, empty=True).status


def test_what_stands_is_listed_with_its_price(make, name, target):
    """A dry run tells the same and changes nothing."""
    make()

    outcome = _remove(target, name, empty=False, dry_run=True)

    priced = {entry.arn.split(":")[2]: entry.usd_per_day for entry in outcome.left if entry.usd_per_day}
    assert {"ec2": pytest.approx(0.24), "elasticache": pytest.approx(0.408)} == priced
    assert outcome.left == standing(target, name, [])


def test_a_removal_that_nobody_agrees_to_changes_nothing(make, name, target):
    """What stood stands."""
    make()
    before = standing(target, name, [])

    outcome = destroy(target, _settings(), DestroyRequest(name, empty=True), log=_silent, agree=lambda _: False)

    assert "declined" == outcome.status
    assert before == standing(target, name, [])


def test_a_resource_that_cannot_be_deleted_is_named_and_the_next_removal_goes_on(make, name, target, faults):
    """AWS's reason is told; the stack is in a state from which a removal goes on."""
    make()
    faults(undeletable={"LambdaEndpoint": "The endpoint is in use."})

    with pytest.raises(HarnessError, match=r"LambdaEndpoint cannot be deleted: .*The endpoint is in use\."):
        _remove(target, name, empty=True)
    faults()

    assert "removed" == _remove(target, name, empty=True).status


def _remove(target, name, *, empty, dry_run=False):
    request = DestroyRequest(name, empty=empty, dry_run=dry_run)
    return destroy(target, _settings(), request, log=_silent, agree=lambda _: True)


def _settings():
    return load_settings(HANDLERS)


def _sha256(code):
    import base64  # noqa: PLC0415
    import hashlib  # noqa: PLC0415

    return base64.b64encode(hashlib.sha256(code).digest()).decode()


def _few_tries():
    from botocore.config import Config  # noqa: PLC0415

    return Config(retries={"mode": "standard", "total_max_attempts": 2})


def _without(service, target):
    known = target.session.get_available_regions
    return lambda name, **more: [] if name == service else [target.region, *known(name, **more)]


def _silent(_line):
    """Says nothing."""
