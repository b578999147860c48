"""What a run shows while nothing happens."""

import re
import time
from pathlib import Path

import msgspec

from harness.cli import display
from harness.cli.display import RunDisplay, print_summary
from harness.runs.progress import Progress, RankProgress
from harness.runs.summary import Summary


def test_a_long_wait_is_told_without_a_terminal(monkeypatch, capsys):
    """A plain line on standard error names the stage, the seconds, and whom the run waits for; again later."""
    monkeypatch.setattr(display, "LONG_WAIT_S", 0.6)
    monkeypatch.setattr(display, "WAIT_LINE_EVERY_S", 0.6)

    with RunDisplay() as shown:
        shown.stage("training")
        shown.watch(Progress([RankProgress(0, state="training"), RankProgress(1)]))
        deadline, lines = time.monotonic() + 10, ""
        while lines.count("waiting for") < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
            lines += capsys.readouterr().err

    assert re.match(r"training ...\ntraining ... \d+ s, waiting for rank 1 to start\n", lines)


def test_a_run_that_goes_on_says_nothing_of_waits(monkeypatch, capsys):
    """Each epoch starts the count again."""
    monkeypatch.setattr(display, "LONG_WAIT_S", 5.0)

    with RunDisplay() as shown:
        shown.stage("training")
        shown.watch(Progress([RankProgress(0, state="training", epoch=1, epoch_loss=0.5)]))

    assert capsys.readouterr().err == "training ...\nepoch 1: loss 0.5000\n"


def test_a_failed_attempt_is_told_once(capsys):
    """The line names the rank and the cause, and when Lambda tries again; the error tells one that ends the run."""
    progress = Progress(
        [RankProgress(0, state="training"), RankProgress(1, state="training")], retry_delays_s=(1000.0,)
    )

    with RunDisplay() as shown:
        shown.watch(progress)
        progress.record_failure(1, "id", "died", "Runtime.ExitError")
        shown.watch(progress)
        assert capsys.readouterr().err == ""
        shown.watch(progress)
        shown.watch(progress)

    told = capsys.readouterr().err
    assert re.fullmatch(r"rank 1 failed: Runtime.ExitError; Lambda tries again in about (1000|9\d\d) s\n", told)


def test_a_summary_names_the_zones_of_the_workers(capsys):
    """One zone in a word; of several, their ranks, and where the coordinator measured the cache from."""
    text = (Path(__file__).parents[1] / "fixtures_runs" / "sample-slow-rank" / "summary.json").read_bytes()
    summary = msgspec.json.decode(text, type=Summary)

    def printed(zones, link):
        workers = [msgspec.structs.replace(one, zone=zone) for one, zone in zip(summary.workers, zones, strict=True)]
        exchange = {**summary.exchange, "link": link}
        print_summary(msgspec.structs.replace(summary, workers=workers, exchange=exchange))
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("zones ")]

    near, far = "use1-az1", "use1-az2"
    assert printed([near] * 4, None) == ["zones   all workers in use1-az1"]
    assert printed([near, far, near, far], {"zone": near}) == [
        "zones   use1-az1: ranks 0, 2; use1-az2: ranks 1, 3; the cache was measured from use1-az1"
    ]
    assert printed([""] * 4, None) == []
