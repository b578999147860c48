"""Metrics in CloudWatch: Lambda's own, and those that functions embed in their logs.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
"""

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from tests.parity.aws.support import eventually, refusal

# CloudWatch shows a metric after minutes.
WITHIN_S = 180

pytestmark = pytest.mark.timeout(2 * WITHIN_S)


@pytest.fixture
def total(aws):
    """Returns a statistic of all values of a metric since the test began."""
    cloudwatch, began = aws("cloudwatch"), datetime.now(UTC)

    def total_of(namespace, name, dimensions, statistic="Sum"):
        found = cloudwatch.get_metric_statistics(
            Namespace=namespace,
            MetricName=name,
            Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
            StartTime=began - timedelta(minutes=1),
            EndTime=datetime.now(UTC) + timedelta(minutes=1),
            Period=60,
            Statistics=[statistic],
        )["Datapoints"]
        combine = max if statistic == "Maximum" else sum
        return combine(point[statistic] for point in found) if found else None

    return total_of


def test_lambda_counts_invocations(create, functions, total):
    """Errors are those of the function, too; each figure belongs to the function, and to the qualifier of a call."""
    name = create("def handler(event, context):\n    return 1 / event\n")
    functions.publish_version(FunctionName=name)
    for payload in (b"1", b"2", b"0"):
        functions.invoke(FunctionName=name, Payload=payload)
    functions.invoke(FunctionName=name, Qualifier="1", Payload=b"0")

    def shown():
        of_function, of_version = {"FunctionName": name}, {"FunctionName": name, "Resource": f"{name}:1"}
        return (
            total("AWS/Lambda", "Invocations", of_function),
            total("AWS/Lambda", "Errors", of_function),
            total("AWS/Lambda", "Throttles", of_function),
            total("AWS/Lambda", "Duration", of_function, "SampleCount"),
            total("AWS/Lambda", "ConcurrentExecutions", of_function, "Maximum"),
            total("AWS/Lambda", "Invocations", of_version),
            total("AWS/Lambda", "Errors", {"FunctionName": name, "Resource": name}),
        )

    eventually(lambda: shown() == (4, 2, 0, 4, 1, 1, 1), WITHIN_S)
    assert shown() == (4, 2, 0, 4, 1, 1, 1)


@pytest.mark.slow
def test_lambda_counts_refused_invocations(create, functions, total):
    """They are no invocations."""
    name = create()
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    for _ in range(2):
        assert refusal(functions.invoke, FunctionName=name)[0] == "TooManyRequestsException"

    eventually(lambda: total("AWS/Lambda", "Throttles", {"FunctionName": name}) == 2, WITHIN_S)
    assert total("AWS/Lambda", "Throttles", {"FunctionName": name}) == 2
    assert total("AWS/Lambda", "Invocations", {"FunctionName": name}) is None


@pytest.mark.slow
def test_lambda_counts_events(create, functions, total):
    """One that fails without another try is dropped."""
    name = create("def handler(event, context):\n    raise ValueError\n")
    functions.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    functions.invoke(FunctionName=name, InvocationType="Event")

    def shown():
        dimensions = {"FunctionName": name}
        return (
            total("AWS/Lambda", "AsyncEventsReceived", dimensions),
            total("AWS/Lambda", "AsyncEventAge", dimensions, "SampleCount"),
            total("AWS/Lambda", "AsyncEventsDropped", dimensions),
            total("AWS/Lambda", "Errors", dimensions),
        )

    eventually(lambda: shown() == (1, 1, 1, 1), WITHIN_S)
    assert shown() == (1, 1, 1, 1)


def test_metrics_in_the_log_are_metrics(create, functions, total):
    """Each set of dimensions is a metric; a list has several values; a document that breaks the format has none."""
    namespace = f"parity-{uuid.uuid4().hex[:12]}"
    name = create(
        "import json\ndef handler(event, context):\n    for document in event:\n        print(json.dumps(document))\n"
    )
    metadata = {
        "Timestamp": int(1e3 * datetime.now(UTC).timestamp()),
        "CloudWatchMetrics": [
            {
                "Namespace": namespace,
                "Dimensions": [["service"], ["service", "stage"], []],
                "Metrics": [{"Name": "latency", "Unit": "Milliseconds"}, {"Name": "orders"}],
            }
        ],
    }
    good = {"_aws": metadata, "service": "shop", "stage": "test", "latency": [1, 2.5], "orders": 3}
    bad = {**good, "service": 7, "orders": 100}
    functions.invoke(FunctionName=name, Payload=json.dumps([bad, good, good]))

    def shown():
        shop = {"service": "shop"}
        return (
            total(namespace, "latency", shop),
            total(namespace, "latency", shop, "Maximum"),
            total(namespace, "orders", shop | {"stage": "test"}),
            total(namespace, "orders", {}),
        )

    eventually(lambda: shown() == (7, 2.5, 6, 6), WITHIN_S)
    assert shown() == (7, 2.5, 6, 6)
