"""How the gateway reads metrics in logs, and what it sends to CloudWatch."""

import asyncio
import json
from urllib.parse import parse_qsl

import pytest

from harness.gateway.connection import HttpAnswer
from harness.gateway.logs import metrics
from harness.gateway.logs.embedded_metrics import EmbeddedMetric, MalformedMetricsError, embedded_in
from harness.gateway.logs.metrics import Metrics

DIRECTIVE = {"Namespace": "ns", "Dimensions": [["a"], []], "Metrics": [{"Name": "m", "Unit": "Bytes"}]}
METADATA = {"Timestamp": 1_700_000_000_123, "CloudWatchMetrics": [DIRECTIVE]}
DOCUMENT = {"_aws": METADATA, "a": "x", "m": [1, 2.5]}


def changed(**directive):
    """The document with other members of its directive."""
    return DOCUMENT | {"_aws": METADATA | {"CloudWatchMetrics": [DIRECTIVE | directive]}}


def test_a_document_has_its_metrics_for_each_set_of_dimensions():
    """Their values and their time are the document's."""
    at = 1_700_000_000_123
    assert list(embedded_in(json.dumps(DOCUMENT))) == [
        EmbeddedMetric("ns", "m", "Bytes", (("a", "x"),), [1.0, 2.5], at),
        EmbeddedMetric("ns", "m", "Bytes", (), [1.0, 2.5], at),
    ]


@pytest.mark.parametrize(
    "line",
    ["", "text", "[1]", '{"a": 1}', 'say "CloudWatchMetrics"', '{"message": "\\"CloudWatchMetrics\\""}', "{}"],
)
def test_other_lines_have_no_metrics(line):
    """Any text may be in a log."""
    assert list(embedded_in(line)) == []


def test_a_metric_without_a_value_is_left_out():
    """The document may say less than its metadata."""
    document = {key: value for key, value in DOCUMENT.items() if key != "m"}

    assert list(embedded_in(json.dumps(document))) == []


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (DOCUMENT | {"_aws": {"CloudWatchMetrics": []}}, "Timestamp"),
        (DOCUMENT | {"_aws": METADATA | {"Timestamp": "now"}}, "Timestamp"),
        (changed(Namespace=7), "Namespace"),
        (changed(Namespace=""), "Namespace"),
        (changed(Dimensions=[["a"] * 31]), "Dimensions"),
        (changed(Dimensions=["a"]), "Dimensions"),
        (changed(Metrics=[{"Name": "m"}] * 101), "Metrics"),
        (changed(Metrics=[{"Name": "m", "Unit": "Apples"}]), "'Apples'"),
        (changed(Metrics=[{"Name": "m", "StorageResolution": 5}]), "StorageResolution"),
        (DOCUMENT | {"a": 1}, "dimension 'a'"),
        (DOCUMENT | {"m": "2"}, "metric 'm'"),
        (DOCUMENT | {"m": [1] * 101}, "more than 100 values"),
    ],
)
def test_a_document_that_breaks_the_format_says_where(document, told):
    """The rules are those of AWS's specification."""
    with pytest.raises(MalformedMetricsError, match=told.replace("$", "")):
        list(embedded_in(json.dumps(document)))


def test_a_line_that_is_nested_too_deeply_says_so():
    """The lines after it are read."""
    with pytest.raises(MalformedMetricsError, match="recursion"):
        list(embedded_in('{"CloudWatchMetrics":' * 5000))


class Connection:
    """CloudWatch, which keeps what it is sent."""

    def __init__(self, *_):
        self.sent = []

    async def post(self, _path, body, _headers, _within_s):
        """Accept a request."""
        self.sent.append(dict(parse_qsl(body.decode())))
        return HttpAnswer(200, b"", is_last=False)

    def close(self):
        """Do nothing."""


@pytest.fixture
def cloudwatch(monkeypatch):
    """CloudWatch."""
    connection = Connection()
    monkeypatch.setattr(metrics, "HttpConnection", lambda _address: connection)
    return connection


def test_figures_are_sent_together(cloudwatch):
    """A hundred invocations are one request; each figure is there for the resource, for the function and for all."""

    async def count():
        collected = Metrics("http://cloudwatch", "key")
        for number in range(100):
            collected.invocation("f", "f:live", failed=number < 3, duration_ms=float(number))
        await collected.flush()
        await collected.flush()

    asyncio.run(count())

    (request,) = cloudwatch.sent
    numbers = [number for number in range(1, 13) if request[f"MetricData.member.{number}.MetricName"] == "Duration"]
    assert len(numbers) == 3
    for number in numbers:
        datum = f"MetricData.member.{number}"
        figures = [request[f"{datum}.StatisticValues.{name}"] for name in ("SampleCount", "Sum", "Minimum", "Maximum")]
        assert ["100", "4950.0", "0.0", "99.0"] == figures
    resources = [request.get(f"MetricData.member.{number}.Dimensions.member.2.Value") for number in numbers]
    assert [None, None, "f:live"] == sorted(resources, key=str)


def test_a_malformed_line_is_reported_once(cloudwatch, caplog):
    """The gateway's log has the function and the reason."""

    async def read():
        collected = Metrics("http://cloudwatch", "key")
        for _ in range(3):
            collected.read_lines("f", json.dumps(DOCUMENT | {"m": "2"}) + "\n" + json.dumps(DOCUMENT) + "\n")
        await collected.flush()

    asyncio.run(read())

    assert [
        "f: a line embeds no metrics as CloudWatch reads them: metric 'm' is neither a number nor a list of numbers"
    ] == [record.getMessage() for record in caplog.records]
    (request,) = cloudwatch.sent
    assert ("ns", "6") == (request["Namespace"], request["MetricData.member.1.StatisticValues.SampleCount"])
