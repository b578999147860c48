"""A run in other people's formats: what their own readers find in the files."""

import csv
import json
import math
from pathlib import Path

import httpx
import msgspec
import pytest
from click.testing import CliRunner
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

from harness.cli.main import cli
from harness.errors import HarnessError
from harness.formats.otlp import write_otlp
from harness.formats.perfetto_trace import Slice, lanes, write_trace
from harness.formats.tables import write_tables
from harness.formats.tensorboard import TensorBoardRun, write_tensorboard
from harness.formats.writing import Formats
from harness.insight.view import Attempt, Bucket, Epoch, Rank
from tests.support.views import STARTED_AT, small_view


def scalars_in(folder):
    """The points of every curve in a folder of event files, read by TensorBoard's own reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415 - half a second

    reader = EventAccumulator(str(folder))
    reader.Reload()
    return {tag: [(one.step, one.value) for one in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_reads_curves_of_the_run_and_of_each_rank(tmp_path):
    """Epochs, validation, batches and rounds are curves; each rank has a run of its own below."""
    write_tensorboard(small_view(), tmp_path)

    run, rank_0 = scalars_in(tmp_path / "small"), scalars_in(tmp_path / "small" / "rank-0")
    assert [(1, pytest.approx(0.6)), (2, pytest.approx(0.5))] == run["train/loss"]
    assert [(1, pytest.approx(0.68)), (2, pytest.approx(0.75))] == run["validation/accuracy"]
    assert [(1, pytest.approx(0.69)), (2, pytest.approx(0.61))] == run["batch/loss"]
    assert [(1, 1700.0), (2, 400.0)] == run["round/ms"]
    assert [(1, pytest.approx(1500.0)), (3, pytest.approx(200.0))] == rank_0["round/wait_ms"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_knows_the_job_as_hyper_parameters(tmp_path):
    """The hyper-parameters' plug-in finds the job's keys and the figures at the end."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415 - half a second
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData  # noqa: PLC0415

    write_tensorboard(small_view(), tmp_path)

    reader = EventAccumulator(str(tmp_path / "small"))
    reader.Reload()
    start = HParamsPluginData.FromString(reader.PluginTagToContent("hparams")["_hparams_/session_start_info"])
    values = start.session_start_info.hparams
    assert ("lr", 0.1, 2.0) == (
        values["model"].string_value,
        values["lr"].number_value,
        values["n_workers"].number_value,
    )
    assert [(3, pytest.approx(0.9))] == scalars_in(tmp_path / "small")["hparam/test_auc"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_follows_a_run_without_repeating_a_point(tmp_path):
    """An update adds what is new, and a loss that is not a number is left out."""
    run = TensorBoardRun(tmp_path, "small")
    view = small_view(status="running")
    run.update(msgspec.structs.replace(view, epochs=view.epochs[:1]))
    run.update(msgspec.structs.replace(view, epochs=[*view.epochs, Epoch(epoch=3, loss=math.nan)]))
    run.close()

    assert [1, 2] == [step for step, _ in scalars_in(tmp_path / "small")["train/loss"]]


def read_trace(path):
    """The packets of a trace, by Perfetto's own classes, in the order of time, as its trace processor reads them."""
    packets = Trace.FromString(path.read_bytes()).packet
    return sorted(packets, key=lambda packet: packet.timestamp)


def test_a_trace_has_a_track_per_rank_and_per_environment(tmp_path):
    """Slices of one track open and close in pairs, in order; ranks and environments are tracks of two processes."""
    write_trace(small_view(), tmp_path / "trace.pftrace")

    packets = read_trace(tmp_path / "trace.pftrace")
    names = {
        one.track_descriptor.uuid: one.track_descriptor.name for one in packets if one.HasField("track_descriptor")
    }
    assert {"rank 0", "rank 1", "linear_ec_1 env-c", "linear_ec_2 env-0", "epochs", "events"} <= set(names.values())
    depth, done = {}, {}
    for packet in packets:
        event = packet.track_event
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            depth.setdefault(event.track_uuid, []).append((event.name, packet.timestamp))
        elif event.type == TrackEvent.TYPE_SLICE_END:
            name, start = depth[event.track_uuid].pop()
            done.setdefault(names[event.track_uuid], {})[name] = (packet.timestamp - start) / 1e9
    assert not any(depth.values())
    assert pytest.approx(0.2) == done["rank 0"]["compute round 1"]
    assert pytest.approx(0.4) == done["rank 0"]["wait for rank 1"]  # the second of two
    assert pytest.approx(0.25) == done["linear_ec_1 env-c"]["cold start"]


def test_a_trace_draws_who_was_waited_for(tmp_path):
    """Each flow begins on the track of the rank that was waited for and ends, later or then, on the waiting one's."""
    write_trace(small_view(), tmp_path / "trace.pftrace")

    begins, ends = {}, {}
    for packet in read_trace(tmp_path / "trace.pftrace"):
        for flow in packet.track_event.flow_ids:
            begins[flow] = packet
        for flow in packet.track_event.terminating_flow_ids:
            ends[flow] = packet
    assert 2 == len(begins)
    assert begins.keys() == ends.keys()
    for flow, put in begins.items():
        assert put.timestamp <= ends[flow].timestamp
        assert put.track_event.track_uuid != ends[flow].track_event.track_uuid


def test_slices_that_cross_are_dealt_to_two_lanes():
    """A viewer closes the innermost slice: what overlaps without containing goes beside."""
    outer, inner, crossing = Slice(0, 4, "outer"), Slice(1, 2, "inner"), Slice(3, 5, "crossing")

    assert [[outer, inner], [crossing]] == lanes([crossing, inner, outer])


def test_spans_are_otlps_json(tmp_path):
    """OTLP's own message reads the file; parents are spans of it, and a killed attempt is an error."""
    write_otlp(small_view(), str(tmp_path / "spans.jsonl"))

    (line,) = (tmp_path / "spans.jsonl").read_text().splitlines()
    decoded = json.loads(line)
    spans = decoded["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert {32} == {len(bytes.fromhex(span["traceId"])) * 2 for span in spans}
    ids = {span["spanId"] for span in spans}
    assert len(spans) == len(ids)
    assert {span["parentSpanId"] for span in spans if "parentSpanId" in span} <= ids
    (run,) = [span for span in spans if "parentSpanId" not in span]
    assert int(run["startTimeUnixNano"]) == STARTED_AT * 1e9
    failed = [span for span in spans if span.get("status", {}).get("code") == 2]
    assert {"killed"} == {span["status"]["message"] for span in failed}
    # The ids are hexadecimal in OTLP's JSON, and base64 in protobuf's: all else is protobuf's.
    for span in spans:
        for key in ("traceId", "spanId", "parentSpanId"):
            span.pop(key, None)
    parsed = Parse(json.dumps(decoded), ExportTraceServiceRequest())
    assert len(spans) == len(parsed.resource_spans[0].scope_spans[0].spans)


def read_table(path):
    """A table's rows by its header."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_tables_have_a_line_per_thing(tmp_path):
    """Epochs, rounds with whom they waited for, ranks, events and invocations."""
    write_tables(small_view(), tmp_path)

    folder = tmp_path / "small"
    assert ["0.6", "0.5"] == [row["loss"] for row in read_table(folder / "epochs.csv")]
    assert ["0.68", "0.75"] == [row["validation_accuracy"] for row in read_table(folder / "epochs.csv")]
    assert ["1", "1", "", ""] == [row["waited_for"] for row in read_table(folder / "rounds.csv")]
    assert [("0", "1"), ("1", "2")] == [(row["rank"], row["attempts"]) for row in read_table(folder / "ranks.csv")]
    assert ["rank 1 was killed"] == [row["text"] for row in read_table(folder / "events.csv")]
    assert 4 == len(read_table(folder / "invocations.csv"))
    assert {"key": "lr", "value": "0.1"} in read_table(folder / "job.csv")


def test_a_cell_is_never_a_formula(tmp_path):
    """Text of a run that a spreadsheet would run is quoted."""
    write_tables(small_view(job={"dataset": '=HYPERLINK("http://somewhere")'}), tmp_path)

    assert [{"key": "dataset", "value": '\'=HYPERLINK("http://somewhere")'}] == read_table(
        tmp_path / "small" / "job.csv"
    )


@pytest.mark.parametrize(
    ("formats", "says"),
    [
        ({"csv": "file"}, "--csv .*file is a file"),
        ({"trace": "absent/trace"}, "the folder of --trace .* does not exist"),
        ({"trace": "."}, "--trace .* is a folder"),
        ({"otlp": "ftp://127.0.0.1/x"}, "--otlp ftp://127.0.0.1/x is neither a file nor an address"),
        ({"otlp": "absent/spans"}, "the folder of --otlp .* does not exist"),
        ({"otlp": "http://[::1"}, "is neither a file nor an address"),
        ({"otlp": "http://127.0.0.1:99999"}, "is neither a file nor an address"),
        ({"otlp": "both", "trace": "both"}, "--trace and --otlp both name .*both"),
        ({"csv": "both", "mlflow": "both"}, "--mlflow and --csv both name .*both"),
        ({"mlflow": "."}, "is no store of MLflow's: it has the folder source"),
    ],
)
def test_what_cannot_be_written_is_said_before_the_run(formats, says, tmp_path):
    """At the end of a run it would be too late."""
    (tmp_path / "file").touch()
    (tmp_path / "source").mkdir()
    named = {
        name: value if "://" in value else str(tmp_path / value) if name == "otlp" else tmp_path / value
        for name, value in formats.items()
    }

    with pytest.raises(HarnessError, match=says):
        Formats(**named).check()


def test_a_run_of_which_little_is_known_is_written_all_the_same(tmp_path):
    """A failed run without epochs, rounds or ends of its attempts."""
    lost = Rank(rank=0, attempts=[Attempt(attempt=1, started=0.5, buckets=[Bucket(1, 1, 1, 1, 0, 0)])])
    view = small_view(status="failed", cause="lost", epochs=[], batches=[], ranks=[lost], invocations=[], summary=None)

    places = list(
        Formats(
            csv=tmp_path / "csv", trace=tmp_path / "trace", otlp=str(tmp_path / "otlp"), tensorboard=tmp_path / "board"
        ).write(view)
    )

    assert 4 == len(places)


def test_times_beyond_every_clock_are_written_as_the_last_one(tmp_path):
    """A damaged record must not cost the rest of the run."""
    view = msgspec.structs.replace(small_view(), started_at=1e14)

    write_trace(view, tmp_path / "trace")
    write_otlp(view, str(tmp_path / "spans"))

    assert {2**63 - 1} == {packet.timestamp for packet in read_trace(tmp_path / "trace") if packet.timestamp}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx.Response(200, json={"partialSuccess": {"rejectedSpans": "7"}}), "rejected 7 spans"),
        (httpx.Response(200, content=iter([b"x" * 600_000] * 9)), "its answer does not end"),
        (httpx.Response(307, headers={"Location": "/again"}), "refused the spans with status 307"),
    ],
)
def test_a_collector_that_does_not_take_all_spans_is_named(answer, says, monkeypatch):
    """Also one whose answer has no end."""
    transport = httpx.MockTransport(lambda _request: answer)
    monkeypatch.setattr(httpx, "stream", httpx.Client(transport=transport).stream)

    with pytest.raises(HarnessError, match=f"--otlp http://127.0.0.1:4318 .*{says}"):
        write_otlp(small_view(), "http://127.0.0.1:4318")


@pytest.mark.parametrize(("flag", "value"), [("--csv", ""), ("--mlflow", "http://127.0.0.1:5000"), ("--otlp", "")])
def test_what_is_no_path_is_refused(flag, value):
    """An empty variable of a shell would mean the working folder."""
    answer = CliRunner().invoke(cli, ["report", "last", flag, value])

    assert 2 == answer.exit_code
    assert f"{value!r} is n" in answer.output


def test_a_report_beside_a_format_has_a_file_of_its_own(tmp_path):
    """One would silently replace the other."""
    with pytest.raises(HarnessError, match="--output and --trace both name"):
        Formats(trace=tmp_path / "run").check(tmp_path / "run")


def test_the_format_that_cannot_be_written_is_named():
    """A full disk is met at the end of a run; the error says which flag lost its file."""
    with pytest.raises(HarnessError, match=r"--trace /dev/full cannot be written: No space left on device"):
        list(Formats(trace=Path("/dev/full")).write(small_view()))
