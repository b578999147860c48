"""A run in formats that are sent away, or written by another program: a collector and MLflow."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from harness.errors import HarnessError
from harness.formats.otlp import write_otlp
from harness.formats.writing import Formats
from tests.support.ports import quiet_port
from tests.support.views import small_view


class Collector(BaseHTTPRequestHandler):
    """A collector that keeps what it is sent."""

    status = 200

    def do_POST(self):
        """Take spans."""
        self.server.taken.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"{}" if self.status == 200 else b"no room")

    def log_message(self, *_arguments):
        """Print nothing."""


@pytest.fixture
def collector():
    """A collector of OpenTelemetry's on this machine."""
    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        server.taken = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_spans_are_sent_to_a_collector(collector):
    """An address without a path gets OTLP's usual one."""
    write_otlp(small_view(), f"http://127.0.0.1:{collector.server_port}")

    ((path, request),) = collector.taken
    assert "/v1/traces" == path
    assert request["resourceSpans"]


def test_a_collector_that_refuses_is_named(collector, monkeypatch):
    """The error has the flag, the address, the status and the answer."""
    monkeypatch.setattr(Collector, "status", 503)

    with pytest.raises(
        HarnessError, match=r"--otlp http://127\.0\.0\.1:\d+/x refused the spans with status 503\nno room"
    ):
        write_otlp(small_view(), f"http://127.0.0.1:{collector.server_port}/x")


def test_a_collector_that_is_not_there_is_named():
    """The error says what to do."""
    with pytest.raises(HarnessError, match=r"does not answer.*\nstart the collector"):
        write_otlp(small_view(), f"http://127.0.0.1:{quiet_port()}")


@pytest.mark.filterwarnings("ignore")
def test_mlflow_finds_the_run_in_its_store(tmp_path, monkeypatch):
    """Parameters, the history of a metric, the status and the model, by MLflow's own client."""
    from mlflow.tracking import MlflowClient  # noqa: PLC0415 - takes a second

    (tmp_path / "model.npz").write_bytes(b"model")
    list(Formats(mlflow=tmp_path / "store").write(small_view(), tmp_path / "model.npz"))

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = MlflowClient(tracking_uri=(tmp_path / "store").as_uri())
    experiment = client.get_experiment_by_name("lambda-harness")
    (run,) = client.search_runs([experiment.experiment_id])
    assert ("small", "FINISHED") == (run.info.run_name, run.info.status)
    assert ("lr", "0.1") == (run.data.params["model"], run.data.params["lr"])
    assert [(1, 0.6), (2, 0.5)] == [
        (one.step, one.value) for one in client.get_metric_history(run.info.run_id, "train_loss")
    ]
    assert ["model.npz"] == [one.path for one in client.list_artifacts(run.info.run_id)]
