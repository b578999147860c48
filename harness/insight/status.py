"""What a run is and how it ended, from its records."""

from typing import Any, NamedTuple, cast, get_args

from harness.insight.facts import RunFacts
from harness.insight.log_text import LONGEST_CAUSE
from harness.insight.timings import number_of
from harness.insight.view import RunStatus
from training.job_fields import MOST_WORKERS


class Status(NamedTuple):
    """A run's status and what it was started with.

    Attributes:
        status: Its status.
        over: Whether it is over.
        cause: Why it failed; empty if it did not.
        target: Where it ran.
        mode: How its functions ran; empty if no record tells.
        job: The job as the coordinator received it.
        chosen: The keys of the job that follow from the data.
        versions: What it ran on.
        n_workers: The number of its workers; 0 if unknown.
    """

    status: RunStatus
    over: bool
    cause: str
    target: str
    mode: str
    job: dict[str, Any]
    chosen: dict[str, Any]
    versions: dict[str, str]
    n_workers: int


def status_of(facts: RunFacts, target: str, *, live: bool) -> Status:
    """Return what a run's records tell of it.

    Args:
        facts: The run's records.
        target: Where it runs, if no record tells.
        live: Whether the run is being followed.
    """
    kept, summary = facts.documents.get("run.json", {}), facts.summary or {}
    status = _status(facts, live=live)
    job = _dict(facts.documents.get("job.json", {}).get("job")) or _dict(summary.get("job"))
    versions = {str(name): str(version) for name, version in _dict(kept.get("versions")).items()}
    versions |= {f"image {name}": str(digest) for name, digest in _dict(summary.get("images")).items()}
    n_workers = number_of(job.get("n_workers")) or 0
    return Status(
        status=status,
        over=status not in {"running", "unfinished"},
        cause=_cause(facts) if status in {"failed", "stopped", "damaged", "unfinished"} else "",
        target=_text(kept.get("target")) or target,
        mode=_text(kept.get("mode")) or _text(summary.get("mode")),
        job=job,
        chosen=_dict(kept.get("chosen")) or _dict(summary.get("defaults")),
        versions=versions,
        n_workers=int(min(n_workers, MOST_WORKERS)),
    )


def _status(facts: RunFacts, *, live: bool) -> RunStatus:
    told = facts.documents.get("run.json", {}).get("status")
    if told in get_args(RunStatus):
        return cast("RunStatus", told)
    if facts.summary is not None or "result.json" in facts.documents:
        return "succeeded"
    if "job.json" in facts.problems or "result.json" in facts.problems:
        return "damaged"
    if "aborted.json" in facts.documents:
        return "stopped"
    if any(record.get("final") is True for record in facts.failed.values()):
        return "failed"
    return "running" if live else "unfinished"


def _cause(facts: RunFacts) -> str:
    """Return the first cause that a run's records name; those that ended the run go before others."""
    told = [facts.documents.get("run.json", {}).get("cause"), facts.documents.get("aborted.json", {}).get("cause")]
    failures = sorted(facts.failed.items(), key=lambda item: number_of(item[1].get("time")) or 0.0)
    own = [(key, record) for key, record in failures if record.get("kind") != "RunAborted"] or failures
    told += [f"rank {key[0]}: {record.get('cause')}" for key, record in own if record.get("final") is True]
    told += [f"rank {key[0]}: {record.get('cause')}" for key, record in own]
    return " ".join(next((str(cause) for cause in told if cause), "").split())[:LONGEST_CAUSE]


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
