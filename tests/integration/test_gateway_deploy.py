"""The Lambda API that a deployment uses, through boto3: versions, aliases, reservations, queues, tags, states."""

import json
import urllib.request
import uuid

import pytest
from botocore.exceptions import ClientError

from harness.aws.clients import clients_for, emulation_session
from harness.guard import authorization
from harness.system.probes import wait_until
from tests.support.functions import ROLE, code_arguments, handlers_image, lines_of


@pytest.fixture(scope="module")
def image(mode, tmp_path_factory):
    """Return the image of all handlers in container mode; None in process mode."""
    if mode == "process":
        yield None
        return
    with handlers_image(tmp_path_factory.mktemp("image")) as image_id:
        yield image_id


@pytest.fixture(scope="module")
def own_stack(hasty):
    """Provide a stack whose retries do not take minutes, and whose account may be changed."""
    return hasty


@pytest.fixture(scope="module")
def functions(own_stack):
    """Return a client of the Lambda service."""
    return clients_for(own_stack.endpoints).functions


@pytest.fixture(scope="module")
def logs(own_stack):
    """Return a client of the log service."""
    return clients_for(own_stack.endpoints).logs


@pytest.fixture
def service(own_stack):
    """Return a function that creates a client of a control-plane service."""
    return lambda name: emulation_session(own_stack.endpoints).client(name, endpoint_url=own_stack.endpoints.aws)


@pytest.fixture
def create(functions, image):
    """Create functions from fixtures/handlers, deleted at the end."""
    created = []

    def create_function(behaviour, **configuration):
        name = f"{behaviour}-{uuid.uuid4().hex[:8]}"
        functions.create_function(FunctionName=name, Role=ROLE, **code_arguments(behaviour, image), **configuration)
        created.append(name)
        return name

    yield create_function
    for name in created:
        functions.delete_function(FunctionName=name)


@pytest.fixture
def put(own_stack):
    """Send a rehearsal's settings to one of the harness's own routes; undo them at the end."""
    undo = {}

    def send(path, content):
        body = json.dumps(content).encode()
        headers = authorization(own_stack.endpoints.access_key)
        request = urllib.request.Request(f"{own_stack.endpoints.lambda_}{path}", body, headers, method="PUT")
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read())

    def send_for_this_test(path, content, back):
        undo[path] = back
        return send(path, content)

    yield send_for_this_test
    for path, back in undo.items():
        send(path, back)


def refusal(call, **arguments):
    """Return the code and the message with which a call is refused."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def answer_of(functions, name, **options):
    """Return the whole answer of an invocation, with its payload decoded."""
    answer = functions.invoke(FunctionName=name, **options)
    return {**answer, "Body": json.loads(answer["Payload"].read())}


def test_a_new_function_is_pending_and_then_active(functions, image):
    """CreateFunction and updates answer before they are complete, as on AWS; both waiters succeed."""
    name = f"echo-{uuid.uuid4().hex[:8]}"
    created = functions.create_function(FunctionName=name, Role=ROLE, **code_arguments("echo", image))
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    updated = functions.update_function_configuration(FunctionName=name, Timeout=7)
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)
    now = functions.get_function_configuration(FunctionName=name)
    functions.delete_function(FunctionName=name)

    assert ("Pending", "Creating") == (created["State"], created["StateReasonCode"])
    assert "InProgress" == updated["LastUpdateStatus"]
    assert ("Active", "Successful", 7) == (now["State"], now["LastUpdateStatus"], now["Timeout"])


def test_a_version_stays_as_it_was_published(create, functions):
    """Later changes affect only $LATEST; the version runs with its own settings and knows its number."""
    name = create("echo", Environment={"Variables": {"WHICH": "first"}})
    version = functions.publish_version(FunctionName=name, Description="the first")
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": {"WHICH": "second"}})

    published = answer_of(functions, name, Qualifier="1")
    latest = answer_of(functions, name)

    assert ("1", "the first") == (version["Version"], version["Description"])
    assert version["FunctionArn"].endswith(f":function:{name}:1")
    assert ("1", "first", "1") == (
        published["ExecutedVersion"],
        published["Body"]["environment"]["WHICH"],
        published["Body"]["environment"]["AWS_LAMBDA_FUNCTION_VERSION"],
    )
    assert ("$LATEST", "second") == (latest["ExecutedVersion"], latest["Body"]["environment"]["WHICH"])
    assert (
        "first"
        == functions.get_function(FunctionName=name, Qualifier="1")["Configuration"]["Environment"]["Variables"][
            "WHICH"
        ]
    )
    listed = functions.list_versions_by_function(FunctionName=name)["Versions"]
    assert ["$LATEST", "1"] == [one["Version"] for one in listed]


def test_what_has_not_changed_is_published_once(create, functions):
    """A second PublishVersion without a change returns the first version; after a change, the next one."""
    name = create("echo")

    versions = [functions.publish_version(FunctionName=name)["Version"] for _ in range(2)]
    functions.update_function_configuration(FunctionName=name, Timeout=9)
    versions.append(functions.publish_version(FunctionName=name)["Version"])

    assert ["1", "1", "2"] == versions


def test_an_alias_can_be_moved(create, functions):
    """An alias runs the version that it points to; that version cannot be deleted; the alias is found by its ARN."""
    name = create("echo")
    functions.publish_version(FunctionName=name)
    alias = functions.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    functions.update_function_configuration(FunctionName=name, Timeout=9)
    functions.publish_version(FunctionName=name)

    before = answer_of(functions, name, Qualifier="live")["ExecutedVersion"]
    in_use = refusal(functions.delete_function, FunctionName=name, Qualifier="1")
    functions.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    after = answer_of(functions, alias["AliasArn"])["ExecutedVersion"]
    functions.delete_function(FunctionName=name, Qualifier="1")

    assert ("1", "2") == (before, after)
    assert "ResourceConflictException" == in_use[0]
    assert "2" == functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
    assert ["live"] == [one["Name"] for one in functions.list_aliases(FunctionName=name)["Aliases"]]
    functions.delete_alias(FunctionName=name, Name="live")
    assert "ResourceNotFoundException" == refusal(functions.get_alias, FunctionName=name, Name="live")[0]


@pytest.mark.parametrize(("alias", "version"), [("7", "$LATEST"), ("live", "4"), ("taken", "$LATEST")])
def test_impossible_aliases_are_refused(create, functions, alias, version):
    """A number, a version that does not exist, a name that is taken, and shares with `$LATEST` are refused."""
    name = create("echo")
    functions.create_alias(FunctionName=name, Name="taken", FunctionVersion="$LATEST")

    code, _ = refusal(functions.create_alias, FunctionName=name, Name=alias, FunctionVersion=version)
    weights = {"AdditionalVersionWeights": {"1": 0.5}}
    shared = refusal(functions.update_alias, FunctionName=name, Name="taken", RoutingConfig=weights)

    assert ("InvalidParameterValueException", True) == (shared[0], "more than 1 version" in shared[1])
    expected = {"7": "ValidationException", "live": "ResourceNotFoundException", "taken": "ResourceConflictException"}
    assert expected[alias] == code


def test_a_reservation_is_a_limit_and_a_guarantee(create, functions, own_stack, put):
    """One invocation more than reserved is refused, while other functions still run; enough must be left for them."""
    put("/_harness/account", {"concurrency": 3}, {"concurrency": 1000})
    cache = {"cache": own_stack.functions_see.memcached, "key": uuid.uuid4().hex, "count": 3, "seconds": 60}
    reserved, other = create("barrier", Timeout=90), create("barrier", Timeout=90)
    put_concurrency = functions.put_function_concurrency

    too_much = refusal(put_concurrency, FunctionName=reserved, ReservedConcurrentExecutions=1)
    put("/_harness/account", {"concurrency": 102}, {"concurrency": 1000})
    put_concurrency(FunctionName=reserved, ReservedConcurrentExecutions=2)
    for _ in range(2):
        functions.invoke(FunctionName=reserved, InvocationType="Event", Payload=json.dumps(cache))
    assert wait_until(lambda: busy(own_stack, reserved) == 2, 60)
    full = refusal(functions.invoke, FunctionName=reserved, Payload=json.dumps(cache))
    account = functions.get_account_settings()["AccountLimit"]
    free = answer_of(functions, other, Payload=json.dumps(cache))

    assert "InvalidParameterValueException" == too_much[0]
    assert "below its minimum value of [3]" in too_much[1]
    assert "TooManyRequestsException" == full[0]
    assert (102, 100) == (account["ConcurrentExecutions"], account["UnreservedConcurrentExecutions"])
    assert "all here" == free["Body"]
    assert 2 == functions.get_function(FunctionName=reserved)["Concurrency"]["ReservedConcurrentExecutions"]
    functions.delete_function_concurrency(FunctionName=reserved)
    assert "ReservedConcurrentExecutions" not in functions.get_function_concurrency(FunctionName=reserved)


def busy(stack, name):
    """Return the number of busy environments of a function."""
    url, headers = f"{stack.endpoints.lambda_}/_harness/environments", authorization(stack.endpoints.access_key)
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        return json.loads(answer.read())["environments"].get(name, {}).get("busy", 0)


def test_nothing_runs_of_what_has_nothing_reserved(create, functions):
    """A reservation of 0 stops a function, as AWS's console does; the answer contains the reason."""
    name = create("echo")
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)

    with pytest.raises(functions.exceptions.TooManyRequestsException) as caught:
        functions.invoke(FunctionName=name)

    assert "ReservedFunctionConcurrentInvocationLimitExceeded" == caught.value.response["Reason"]


def test_an_event_that_failed_for_good_is_told_to_the_queue(create, functions, service, own_stack):
    """AWS's record arrives with payload, cause, attempts and the last answer; each alias has its own queue."""
    sqs = service("sqs")
    name, queue = create("fail_times"), f"failures-{uuid.uuid4().hex[:8]}"
    url = sqs.create_queue(QueueName=queue)["QueueUrl"]
    functions.create_alias(FunctionName=name, Name="live", FunctionVersion="$LATEST")
    config = functions.put_function_event_invoke_config(
        FunctionName=name,
        Qualifier="live",
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": f"arn:aws:sqs:us-east-1:123456789012:{queue}"}},
    )
    event = {"cache": own_stack.functions_see.memcached, "key": uuid.uuid4().hex, "failures": 9}

    answer = functions.invoke(FunctionName=name, Qualifier="live", InvocationType="Event", Payload=json.dumps(event))
    messages = []
    assert wait_until(lambda: messages.extend(sqs.receive_message(QueueUrl=url).get("Messages", [])) or messages, 60)
    record = json.loads(messages[0]["Body"])

    assert config["FunctionArn"].endswith(f"{name}:live")
    assert event == record["requestPayload"]
    assert {
        "requestId": answer["ResponseMetadata"]["RequestId"],
        "functionArn": config["FunctionArn"],
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 2,
    } == record["requestContext"]
    assert "Unhandled" == record["responseContext"]["functionError"]
    assert "errorMessage" in record["responsePayload"]


def test_events_are_configured_for_each_qualifier(create, functions, service):
    """Settings exist only once they are set; an update keeps what it omits; deleted settings are gone."""
    name = create("echo")
    get, missing = functions.get_function_event_invoke_config, "ResourceNotFoundException"
    service("sqs").create_queue(QueueName="any")
    queue = "arn:aws:sqs:us-east-1:123456789012:any"

    before = refusal(get, FunctionName=name)[0]
    functions.put_function_event_invoke_config(
        FunctionName=name, MaximumRetryAttempts=1, DestinationConfig={"OnFailure": {"Destination": queue}}
    )
    functions.update_function_event_invoke_config(FunctionName=name, MaximumEventAgeInSeconds=60)
    config = get(FunctionName=name)
    listed = functions.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"]
    functions.delete_function_event_invoke_config(FunctionName=name)

    assert missing == before
    assert (1, 60, queue) == (
        config["MaximumRetryAttempts"],
        config["MaximumEventAgeInSeconds"],
        config["DestinationConfig"]["OnFailure"]["Destination"],
    )
    assert 1 == len(listed)
    assert missing == refusal(get, FunctionName=name)[0]


def test_a_destination_that_cannot_receive_is_refused(create, functions):
    """It would never receive anything."""
    destination = {"OnFailure": {"Destination": "arn:aws:iam::123456789012:user/any"}}

    code, message = refusal(
        functions.put_function_event_invoke_config, FunctionName=create("echo"), DestinationConfig=destination
    )

    assert ("InvalidParameterValueException", True) == (code, "arn:aws:iam" in message)


def test_a_function_joins_a_vpc_that_exists(create, functions, service):
    """Its subnets and groups are looked up, and the answer contains their VPC; those that do not exist are refused."""
    ec2 = service("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="functions", Description="any", VpcId=vpc)["GroupId"]
    config = {"SubnetIds": [subnet], "SecurityGroupIds": [group]}

    name = create("echo", VpcConfig=config)
    shown = functions.get_function_configuration(FunctionName=name)["VpcConfig"]
    unknown = refusal(
        functions.update_function_configuration,
        FunctionName=name,
        VpcConfig={**config, "SubnetIds": ["subnet-0123456789abcdef0"]},
    )
    functions.update_function_configuration(FunctionName=name, VpcConfig={"SubnetIds": [], "SecurityGroupIds": []})

    assert {**config, "VpcId": vpc, "Ipv6AllowedForDualStack": False} == shown
    assert "InvalidParameterValueException" == unknown[0]
    assert "subnet-0123456789abcdef0" in unknown[1]
    assert "" == functions.get_function_configuration(FunctionName=name)["VpcConfig"]["VpcId"]


def test_tags_are_kept_changed_and_listed(create, functions):
    """CreateFunction sets them, TagResource and UntagResource change them, and GetFunction lists them."""
    name = create("echo", Tags={"stack": "one", "other": "x"})
    arn = functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"]

    functions.tag_resource(Resource=arn, Tags={"stack": "two"})
    functions.untag_resource(Resource=arn, TagKeys=["other", "nosuch"])

    assert {"stack": "two"} == functions.list_tags(Resource=arn)["Tags"]
    assert {"stack": "two"} == functions.get_function(FunctionName=name)["Tags"]


def test_a_stale_revision_is_refused(create, functions):
    """A caller whose revision is out of date gets an error."""
    name = create("echo")
    stale = functions.get_function_configuration(FunctionName=name)["RevisionId"]
    functions.update_function_configuration(FunctionName=name, Timeout=9)

    code, _ = refusal(functions.update_function_configuration, FunctionName=name, Timeout=8, RevisionId=stale)

    assert "PreconditionFailedException" == code


def test_a_function_that_is_being_created_is_pending_and_serves_nobody(create, put, functions):
    """Neither invocations nor changes nor publications, until it is active."""
    put("/_harness/account", {"state_delay_s": 3600}, {"state_delay_s": 0})
    name = create("echo")

    shown = functions.get_function_configuration(FunctionName=name)

    assert (shown["State"], shown["StateReasonCode"]) == ("Pending", "Creating")
    assert "LastUpdateStatus" not in shown
    assert refusal(functions.invoke, FunctionName=name) == (
        "ResourceConflictException",
        "The operation cannot be performed at this time. The function is currently in the following state: Pending",
    )
    for change in (functions.update_function_configuration, functions.publish_version):
        assert refusal(change, FunctionName=name)[0] == "ResourceConflictException"


def test_an_update_during_an_update_is_refused(create, put, functions):
    """The function is in progress, under one revision, and still serves."""
    name = create("echo")
    put("/_harness/account", {"state_delay_s": 3600}, {"state_delay_s": 0})

    updated = functions.update_function_configuration(FunctionName=name, Timeout=9)
    shown = functions.get_function_configuration(FunctionName=name)

    assert (shown["State"], shown["LastUpdateStatus"]) == ("Active", "InProgress")
    assert shown["RevisionId"] == updated["RevisionId"]
    for change, arguments in (
        (functions.update_function_configuration, {"Timeout": 10}),
        (functions.update_function_code, {"ZipFile": b"anything"}),
        (functions.publish_version, {}),
    ):
        assert refusal(change, FunctionName=name, **arguments) == (
            "ResourceConflictException",
            "The operation cannot be performed at this time. An update is in progress for resource: "
            + shown["FunctionArn"],
        )
    assert functions.invoke(FunctionName=name)["StatusCode"] == 200


def test_a_version_of_new_code_is_pending_beside_an_update_in_progress(create, put, functions, image):
    """Each has its own revision."""
    name = create("echo")
    put("/_harness/account", {"state_delay_s": 3600}, {"state_delay_s": 0})
    code = code_arguments("sleep", image)["Code"]

    answer = functions.update_function_code(FunctionName=name, Publish=True, **code)
    version, latest = (
        functions.get_function_configuration(FunctionName=name, Qualifier=one) for one in ("1", "$LATEST")
    )

    assert (answer["Version"], version["State"], latest["LastUpdateStatus"]) == ("1", "Pending", "InProgress")
    assert answer["RevisionId"] == version["RevisionId"] != latest["RevisionId"]
    assert refusal(functions.invoke, FunctionName=name, Qualifier="1")[0] == "ResourceConflictException"


def test_code_is_tried_and_published_on_request(create, functions, image):
    """A dry run changes nothing; Publish creates a version of the new code."""
    name = create("echo")
    before = functions.get_function_configuration(FunctionName=name)
    arguments = code_arguments("counter" if image is None else "echo", image)["Code"]

    functions.update_function_code(FunctionName=name, DryRun=True, **arguments)
    untouched = functions.get_function_configuration(FunctionName=name)
    published = functions.update_function_code(FunctionName=name, Publish=True, **arguments)

    assert before["RevisionId"] == untouched["RevisionId"]
    assert before["CodeSha256"] == untouched["CodeSha256"]
    assert "1" == published["Version"]


def test_new_accounts_get_less_memory(create, functions, put):
    """More than the account's limit is refused in AWS's words, at creation and at updates."""
    put("/_harness/account", {"memory_mb": 3008}, {"memory_mb": 10_240})
    name = create("echo", MemorySize=3008)

    code, message = refusal(functions.update_function_configuration, FunctionName=name, MemorySize=3009)

    assert "InvalidParameterValueException" == code
    assert (
        "'MemorySize' value failed to satisfy constraint: Member must have value less than or equal to 3008" in message
    )


def test_calls_fail_as_planned_and_then_no_more(create, functions, put):
    """A throttled operation is refused as often as planned; others are not."""
    name = create("echo")
    fault = {"error": "ThrottlingException", "status": 429, "action": "GetFunction", "times": 1}
    put("/_harness/calls", [fault], [])

    functions.get_function_configuration(FunctionName=name)
    first = refusal(functions.get_function, FunctionName=name)

    assert "ThrottlingException" == first[0]
    assert name == functions.get_function(FunctionName=name)["Configuration"]["FunctionName"]


def test_the_log_says_which_version_ran(create, functions, logs):
    """START contains it, and so does the log stream's name."""
    name = create("echo")
    functions.publish_version(FunctionName=name)

    functions.invoke(FunctionName=name, Qualifier="1")

    assert wait_until(lambda: any(line.startswith("START") for line in lines_of(logs, name)), 60)
    assert next(line for line in lines_of(logs, name) if line.startswith("START")).endswith("Version: 1")
    streams = logs.describe_log_streams(logGroupName=f"/aws/lambda/{name}")["logStreams"]
    assert ["[1]"] == [stream["logStreamName"].split("/")[-1][:3] for stream in streams]
