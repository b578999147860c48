"""Experiments of AWS FIS strike functions of the stack; all calls are boto3's."""
# ruff: noqa: ARG001, T201 - handlers are written as users write theirs

import json
import time

import httpx
import pytest
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::123456789012:role/fis"
WITHIN_S = 30.0
NONE = [{"source": "none"}]
DELAY, ERROR = "aws:lambda:invocation-add-delay", "aws:lambda:invocation-error"
RESPONSE = "aws:lambda:invocation-http-integration-response"


def greet(event, context):
    """Say so in the log; runs in Lambda."""
    print("the handler has run")
    return {"statusCode": 200, "body": "hello"}


class Fis:
    """What the tests do with FIS."""

    def __init__(self, stack):
        self.stack, self.client = stack, stack.client("fis")

    def template(self, actions, targets, stop=NONE, **options):
        """Create a template; return its id."""
        return self.client.create_experiment_template(
            description="a test", stopConditions=stop, targets=targets, actions=actions, roleArn=ROLE, **options
        )["experimentTemplate"]["id"]

    def start(self, *args, **options):
        """Start an experiment of a new template; return its id."""
        answer = self.client.start_experiment(experimentTemplateId=self.template(*args, **options))
        return answer["experiment"]["id"]

    def strike(self, action, target, duration="PT10M", **parameters):
        """Start an experiment of one action; return its id."""
        return self.start({"strike": one(action, duration, **parameters)}, {"them": target})

    def experiment(self, id_):
        """Return an experiment."""
        return self.client.get_experiment(id=id_)["experiment"]

    def wait(self, id_, status):
        """Return an experiment once it has this status."""
        deadline = time.monotonic() + WITHIN_S
        while (found := self.experiment(id_))["state"]["status"] != status:
            assert time.monotonic() < deadline, found["state"]
        return found


def one(action, duration="PT10M", after=(), **parameters):
    """Return an action on the target `them`."""
    return {
        "actionId": action,
        "parameters": {"duration": duration, **parameters},
        "targets": {"Functions": "them"},
        "startAfter": list(after),
    }


def by_arn(*functions, mode="ALL", **more):
    """Return a target that lists functions."""
    arns = [f"arn:aws:lambda:us-east-1:123456789012:function:{function.name}" for function in functions]
    return {"resourceType": "aws:lambda:function", "resourceArns": arns, "selectionMode": mode, **more}


def by_tag(mode="ALL", **tags):
    """Return a target that selects functions by their tags."""
    return {"resourceType": "aws:lambda:function", "resourceTags": tags, "selectionMode": mode}


@pytest.fixture
def fis(lambda_stack):
    """FIS of the test's stack."""
    return Fis(lambda_stack)


@pytest.fixture
def function(lambda_stack):
    """A function that says when it runs."""
    return lambda_stack.deploy(greet)


def ran(result):
    """Whether the handler has run."""
    return "the handler has run" in result.log


def test_a_delay_is_billed_and_logged_and_the_function_runs(fis, function):
    """The handler begins later, as AWS's extension says in the log."""
    fis.strike(DELAY, by_arn(function), startupDelayMilliseconds="300")

    result = function.invoke()

    assert ran(result)
    assert "AWS FIS EXTENSION - adding 300 milliseconds of latency to function invocation" in result.log
    assert 300 <= float(result.log.partition("\tDuration: ")[2].partition(" ms")[0])


def test_a_delay_beyond_the_time_limit_is_a_timeout(fis, lambda_stack):
    """The handler never begins."""
    function = lambda_stack.deploy(greet, timeout_s=1)
    fis.strike(DELAY, by_arn(function), startupDelayMilliseconds="900000")

    result = function.invoke()

    assert result.error is not None
    assert ("Sandbox.Timedout", False) == (result.error.type, ran(result))


@pytest.mark.parametrize("prevents", [True, False])
def test_an_error_fails_the_invocation_with_or_without_the_function(fis, function, lambda_logs, prevents):
    """The environment goes on, and so does the function once the experiment is stopped."""
    function.invoke()
    experiment = fis.strike(ERROR, by_arn(function), preventExecution=str(prevents).lower())

    result = function.invoke()
    fis.client.stop_experiment(id=experiment)
    after = function.invoke()

    assert result.error is not None
    assert ("Unhandled", not prevents) == (result.error.kind, ran(result))
    assert (None, True) == (after.error, ran(after))
    assert 1 == lambda_logs.text.count("Init Duration")


def test_an_event_that_fails_so_is_retried_and_given_up(fis, function, lambda_stack):
    """Lambda sees a failed invocation like any other."""
    fis.strike(ERROR, by_arn(function), preventExecution="true")
    function.invoke({}, asynchronous=True)
    lambda_stack.events.wait_for("waiting")
    lambda_stack.retry_clock.advance(minutes=4)

    (event,) = lambda_stack.events.given_up
    assert 3 * ["FaultInjectedByFIS"] == [attempt.error for attempt in event.attempts]


@pytest.mark.parametrize("prevents", [True, False])
def test_a_response_reaches_whoever_calls_the_functions_url(fis, function, lambda_stack, prevents):
    """Status code and content type are the experiment's."""
    functions = lambda_stack.client("lambda")
    url = functions.create_function_url_config(FunctionName=function.name, AuthType="NONE")["FunctionUrl"]
    functions.add_permission(
        FunctionName=function.name,
        StatementId="all",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        FunctionUrlAuthType="NONE",
    )
    fis.strike(
        RESPONSE,
        by_arn(function),
        statusCode="503",
        contentTypeHeader="application/problem+json",
        preventExecution=str(prevents).lower(),
    )

    answer = httpx.get(url, trust_env=False)

    assert (503, "application/problem+json", "") == (answer.status_code, answer.headers["content-type"], answer.text)
    assert prevents != ran(function.invoke())


def test_a_percentage_strikes_some_invocations_and_the_same_ones_again(fis, function):
    """The choice follows the stack's seed."""
    rounds = []
    for _ in range(2):
        experiment = fis.strike(ERROR, by_arn(function), preventExecution="true", invocationPercentage="40")
        rounds.append([function.invoke().error is not None for _ in range(30)])
        fis.client.stop_experiment(id=experiment)

    assert rounds[0] == rounds[1]
    assert 0 < sum(rounds[0]) < 30


def test_targets_are_found_by_their_tags(fis, lambda_stack):
    """All of the tags have to match; the experiment shows what it has found."""
    functions = lambda_stack.client("lambda")
    struck, spared = lambda_stack.deploy(greet, name="struck"), lambda_stack.deploy(greet, name="spared")
    for name, tags in {"struck": {"team": "a", "chaos": "yes"}, "spared": {"team": "a"}}.items():
        arn = functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
        functions.tag_resource(Resource=arn, Tags=tags)
    experiment = fis.strike(ERROR, by_tag(team="a", chaos="yes"), preventExecution="true")

    assert (True, False) == (struck.invoke().error is not None, spared.invoke().error is not None)
    resolved = fis.client.list_experiment_resolved_targets(experimentId=experiment)["resolvedTargets"]
    assert ["arn:aws:lambda:us-east-1:123456789012:function:struck"] == [
        target["targetInformation"]["arn"] for target in resolved
    ]


def test_a_share_of_the_targets_is_rounded_down(fis, lambda_stack):
    """Half of three functions is one."""
    three = [lambda_stack.deploy(greet, name=f"f{number}") for number in range(3)]
    fis.strike(ERROR, by_arn(*three, mode="PERCENT(50)"), preventExecution="true")

    assert 1 == sum(function.invoke().error is not None for function in three)


def test_a_qualifier_strikes_only_invocations_that_name_it(fis, function, lambda_stack):
    """The alias is struck, the function without one is not."""
    functions = lambda_stack.client("lambda")
    functions.publish_version(FunctionName=function.name)
    functions.create_alias(FunctionName=function.name, Name="live", FunctionVersion="1")
    fis.strike(ERROR, by_arn(function, parameters={"functionQualifier": "live"}), preventExecution="true")

    by_alias = functions.invoke(FunctionName=function.name, Qualifier="live")
    assert ("Unhandled", None) == (by_alias.get("FunctionError"), function.invoke().error)


def test_an_experiment_completes_by_itself(fis, function):
    """Its states are those of AWS; afterwards invocations are as before."""
    function.invoke()
    template = fis.template({"strike": one(ERROR, "PT3S", preventExecution="true")}, {"them": by_arn(function)})
    begun = fis.client.start_experiment(experimentTemplateId=template)["experiment"]
    running = fis.experiment(begun["id"])
    struck = function.invoke()
    ended = fis.wait(begun["id"], "completed")

    assert ("initiating", "running") == (begun["state"]["status"], running["state"]["status"])
    assert (True, None) == (struck.error is not None, function.invoke().error)
    action = ended["actions"]["strike"]
    assert "completed" == action["state"]["status"]
    assert 3.0 == (action["endTime"] - action["startTime"]).total_seconds()
    assert ended["endTime"] == action["endTime"]


def test_an_action_starts_after_another_one(fis, function):
    """`aws:fis:wait` holds it back; StopExperiment cancels it."""
    wait = {"actionId": "aws:fis:wait", "parameters": {"duration": "PT10M"}}
    actions = {"wait": wait, "strike": one(ERROR, after=["wait"], preventExecution="true")}
    experiment = fis.start(actions, {"them": by_arn(function)})

    assert function.invoke().error is None
    assert "pending" == fis.experiment(experiment)["actions"]["strike"]["state"]["status"]
    assert "stopping" == fis.client.stop_experiment(id=experiment)["experiment"]["state"]["status"]
    stopped = fis.experiment(experiment)
    assert ("stopped", "stopped", "cancelled") == (
        stopped["state"]["status"],
        stopped["actions"]["wait"]["state"]["status"],
        stopped["actions"]["strike"]["state"]["status"],
    )


def test_actions_that_differ_are_all_applied_and_of_those_that_conflict_the_first(fis, function):
    """A delay and an error together; the response waits for the error's end, which does not come."""
    fis.strike(DELAY, by_arn(function), startupDelayMilliseconds="100")
    first = fis.strike(ERROR, by_arn(function), preventExecution="true")
    fis.strike(RESPONSE, by_arn(function), statusCode="503", contentTypeHeader="text/plain", preventExecution="true")

    both = function.invoke()
    fis.client.stop_experiment(id=first)
    second = function.invoke()

    assert both.error is not None
    assert "adding 100 milliseconds" in both.log
    assert 503 == second.payload["statusCode"]


def test_an_alarm_stops_an_experiment(fis, function, lambda_stack):
    """At once when it goes off; an experiment does not begin while it is on."""
    cloudwatch = lambda_stack.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="errors", MetricName="Errors", Namespace="AWS/Lambda", Statistic="Sum", Period=60,
        EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    arn = cloudwatch.describe_alarms()["MetricAlarms"][0]["AlarmArn"]
    stop = [{"source": "aws:cloudwatch:alarm", "value": arn}]
    actions, targets = {"strike": one(ERROR, preventExecution="true")}, {"them": by_arn(function)}

    experiment = fis.start(actions, targets, stop=stop)
    struck = function.invoke()
    cloudwatch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="too many")

    assert struck.error is not None
    assert "stopped" == fis.experiment(experiment)["state"]["status"]
    assert function.invoke().error is None
    assert "stopped" == fis.experiment(fis.start(actions, targets, stop=stop))["state"]["status"]


def test_the_next_test_has_no_experiment(fis, function):
    """The experiments of the tests above would last for minutes more."""
    assert [] == fis.client.list_experiments()["experiments"]
    assert function.invoke().error is None


def test_an_experiment_without_targets_fails_unless_they_may_be_missing(fis):
    """AWS's words."""
    actions, targets = {"strike": one(ERROR, preventExecution="true")}, {"them": by_tag(team="nobody")}

    state = fis.experiment(fis.start(actions, targets))["state"]
    skips = {"accountTargeting": "single-account", "emptyTargetResolutionMode": "skip"}
    skipped = fis.experiment(fis.start(actions, targets, experimentOptions=skips))

    assert ("failed", "Target resolution returned empty set.") == (state["status"], state["reason"])
    assert "InvalidTarget" == state["error"]["code"]
    assert ("completed", "skipped") == (skipped["state"]["status"], skipped["actions"]["strike"]["state"]["status"])


def test_the_same_token_starts_one_experiment(fis, function):
    """A repeated request is the same experiment."""
    template = fis.template({"strike": one(ERROR, preventExecution="true")}, {"them": by_arn(function)})
    ids = {
        fis.client.start_experiment(experimentTemplateId=template, clientToken="one")["experiment"]["id"]
        for _ in range(2)
    }

    assert 1 == len(ids) == len(fis.client.list_experiments()["experiments"])


def test_actions_are_listed_with_their_parameters(fis):
    """GetAction names what is required."""
    listed = [action["id"] for action in fis.client.list_actions()["actions"]]
    parameters = fis.client.get_action(id=ERROR)["action"]["parameters"]

    assert [DELAY, ERROR, RESPONSE] == [action for action in listed if ":lambda:" in action]
    assert {"duration": True, "invocationPercentage": False, "preventExecution": True} == {
        name: one["required"] for name, one in parameters.items()
    }
    assert "aws:lambda:function" == fis.client.list_target_resource_types()["targetResourceTypes"][0]["resourceType"]


BAD = {
    'Unexpected target "Instances" found in action "strike".': {"targets": {"Instances": "them"}},
    'Missing target "Functions" in action "strike".': {"targets": {}},
    "which does not exist": {"targets": {"Functions": "others"}},
    'Missing parameter "duration" in action "strike".': {"parameters": {"preventExecution": "true"}},
    'Unexpected parameter "delayMilliseconds" found in action "strike".': {
        "parameters": {"duration": "PT1M", "preventExecution": "true", "delayMilliseconds": "5"}
    },
    'Invalid value "1 minute" for parameter "duration"': {
        "parameters": {"duration": "1 minute", "preventExecution": "true"}
    },
    'Invalid value "101" for parameter "invocationPercentage"': {
        "parameters": {"duration": "PT1M", "preventExecution": "true", "invocationPercentage": "101"}
    },
    'Action "strike" starts after action "nothing", which does not exist.': {"startAfter": ["nothing"]},
    "These actions start after each other: strike.": {"startAfter": ["strike"]},
    'The action "aws:ec2:stop-instances" found in action "strike" is not emulated': {
        "actionId": "aws:ec2:stop-instances"
    },
}


@pytest.mark.parametrize(("message", "change"), BAD.items())
def test_an_action_that_is_wrong_is_refused_with_its_name(fis, message, change):
    """ValidationException, 400; nothing is stored."""
    action = {**one(ERROR, preventExecution="true"), **change}

    with pytest.raises(ClientError) as refused:
        fis.template({"strike": action}, {"them": by_tag(team="a")})

    assert 400 == refused.value.response["ResponseMetadata"]["HTTPStatusCode"]
    assert "ValidationException" == refused.value.response["Error"]["Code"]
    assert message in refused.value.response["Error"]["Message"]
    assert [] == fis.client.list_experiment_templates()["experimentTemplates"]


BAD_TARGETS = {
    "must have either resourceArns or resourceTags": {"resourceTags": {}},
    "is not the ARN of a function": {"resourceTags": {}, "resourceArns": ["arn:aws:s3:::bucket/too/short/a/name"]},
    "it has to be ALL, COUNT(n) or PERCENT(n)": {"selectionMode": "PERCENT(101)"},
    'The resource type "aws:ec2:instance"': {"resourceType": "aws:ec2:instance"},
    'Unexpected parameter "qualifier" found in target "them".': {"parameters": {"qualifier": "live"}},
    "has filters": {"filters": [{"path": "State.Name", "values": ["running"]}]},
}


@pytest.mark.parametrize(("message", "change"), BAD_TARGETS.items())
def test_a_target_that_is_wrong_is_refused_with_its_name(fis, message, change):
    """At the template's creation."""
    with pytest.raises(ClientError) as refused:
        fis.template({"strike": one(ERROR, preventExecution="true")}, {"them": {**by_tag(team="a"), **change}})

    assert message in refused.value.response["Error"]["Message"]


@pytest.mark.parametrize(
    ("message", "stop"),
    [
        ("it has to be none or aws:cloudwatch:alarm", [{"source": "clock"}]),
        ("it has to be the ARN of an alarm", [{"source": "aws:cloudwatch:alarm", "value": "an alarm of some name"}]),
    ],
)
def test_a_stop_condition_that_is_wrong_is_refused(fis, message, stop):
    """At the template's creation."""
    with pytest.raises(ClientError) as refused:
        fis.template({"strike": one(ERROR, preventExecution="true")}, {"them": by_tag(team="a")}, stop=stop)

    assert message in refused.value.response["Error"]["Message"]


def test_an_alarm_that_does_not_exist_fails_the_experiment(fis, function):
    """It could never stop it."""
    arn = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:nothing"
    stop = [{"source": "aws:cloudwatch:alarm", "value": arn}]

    experiment = fis.start({"strike": one(ERROR, preventExecution="true")}, {"them": by_arn(function)}, stop=stop)

    assert ("failed", f"The alarm {arn} does not exist.") == tuple(fis.experiment(experiment)["state"].values())
    assert function.invoke().error is None


NOT_EMULATED = {
    "accountTargeting multi-account": {
        "experimentOptions": {"accountTargeting": "multi-account", "emptyTargetResolutionMode": "fail"}
    },
    "logConfiguration": {
        "logConfiguration": {
            "logSchemaVersion": 2,
            "cloudWatchLogsConfiguration": {"logGroupArn": "arn:aws:logs:us-east-1:123456789012:log-group:fis"},
        }
    },
    "experimentReportConfiguration": {"experimentReportConfiguration": {"preExperimentDuration": "PT5M"}},
}


@pytest.mark.parametrize(("message", "options"), NOT_EMULATED.items())
def test_options_that_are_not_emulated_are_refused_with_their_names(fis, message, options):
    """Nothing is accepted and ignored."""
    with pytest.raises(ClientError) as refused:
        fis.template({"strike": one(ERROR, preventExecution="true")}, {"them": by_tag(team="a")}, **options)

    assert message in refused.value.response["Error"]["Message"]


def test_a_rehearsed_experiment_finds_its_targets_and_strikes_nothing(fis, function):
    """`skip-all`: all actions are skipped."""
    template = fis.template({"strike": one(ERROR, preventExecution="true")}, {"them": by_arn(function)})
    experiment = fis.client.start_experiment(
        experimentTemplateId=template, experimentOptions={"actionsMode": "skip-all"}
    )["experiment"]

    assert ("completed", "skipped") == (
        experiment["state"]["status"],
        experiment["actions"]["strike"]["state"]["status"],
    )
    assert 1 == len(fis.client.list_experiment_resolved_targets(experimentId=experiment["id"])["resolvedTargets"])
    assert function.invoke().error is None


def test_a_change_of_a_template_is_checked(fis, function):
    """What is wrong changes nothing; what is right counts for the next experiment."""
    template = fis.template({"strike": one(ERROR, preventExecution="true")}, {"them": by_arn(function)})

    with pytest.raises(ClientError, match="ValidationException"):
        fis.client.update_experiment_template(id=template, actions={"strike": one(DELAY, statusCode="500")})
    fis.client.update_experiment_template(id=template, actions={"strike": one(DELAY)})

    stored = fis.client.get_experiment_template(id=template)["experimentTemplate"]
    assert DELAY == stored["actions"]["strike"]["actionId"]


def test_what_does_not_exist_is_not_found(fis):
    """Templates and experiments."""
    for call in (
        lambda: fis.client.start_experiment(experimentTemplateId="EXTnone"),
        lambda: fis.client.stop_experiment(id="EXPnone"),
        lambda: fis.client.get_action(id="aws:nothing:at-all"),
    ):
        with pytest.raises(ClientError) as refused:
            call()
        assert "ResourceNotFoundException" == refused.value.response["Error"]["Code"]


def test_a_log_in_json_has_the_extensions_line_in_json(fis, function, lambda_stack):
    """With the request's id, as AWS's extension writes it."""
    functions = lambda_stack.client("lambda")
    functions.update_function_configuration(FunctionName=function.name, LoggingConfig={"LogFormat": "JSON"})
    fis.strike(DELAY, by_arn(function), startupDelayMilliseconds="1")

    result = function.invoke()

    lines = [json.loads(line) for line in result.log.splitlines() if "AWS FIS EXTENSION" in line]
    assert [result.request_id] == [line["fields"]["requestId"] for line in lines]
