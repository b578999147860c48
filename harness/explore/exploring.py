"""An exploration from end to end: two undisturbed runs, every case, and the findings.

    stage 1   undisturbed   case 1   case 5   ...      this thread
    stage 2   undisturbed   case 2   case 6   ...      a thread of its own
    stage 3                 case 3   case 7   ...      the same

Every case begins from the state after `prepare`, so the stages need not agree on anything but who takes which case.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from harness.errors import HarnessError
from harness.explore.baseline import Baseline, baseline_of
from harness.explore.cases import MOST_OVERLAPS, all_cases, possible_overlaps
from harness.explore.commuting import like
from harness.explore.comparing import differences
from harness.explore.findings import CaseFinding, Exploration, TriedCase
from harness.explore.prepare_file import Preparation
from harness.explore.schedule import Schedule
from harness.explore.stage import Stage, stage_of
from harness.explore.state import final_state
from harness.explore.wording import in_words
from harness.runs.deployment import Source
from harness.settings import Settings
from harness.stack.plan import Log

# A stage is a moto, a gateway and a proxy, and waits for processes to start half of the time: two for each processor.
MOST_STAGES = 4


def _silent(_: str) -> None:
    """Report nothing."""


@dataclass(frozen=True, kw_only=True)
class ExploredFunction:
    """What is explored.

    Attributes:
        settings: The project's settings.
        name: The function's name.
        event: The event that is delivered, as JSON can express it.
        source: A folder, a file or a Python function; None for the function that harness.toml declares.
        config: Keys of `[functions.NAME]` in harness.toml that differ.
        preparation: What it needs, and what does not count.
    """

    settings: Settings
    name: str
    event: object
    source: Source | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    preparation: Preparation


def explore(
    function: ExploredFunction, *, most_overlaps: int = MOST_OVERLAPS, seed: int = 0, progress: Log = _silent
) -> Exploration:
    """Try every case of a function.

    Args:
        function: The function and its event.
        most_overlaps: If two deliveries can overlap in more ways, this many are drawn.
        seed: For the draw.
        progress: Called with a line now and then, from any thread.

    Raises:
        HarnessError: The function cannot be explored: it fails undisturbed, makes no call, is not deterministic, ...
    """
    began = time.monotonic()
    with _stages(function, min(MOST_STAGES, 2 * (os.cpu_count() or 1)), progress) as stages:
        baseline = baseline_of(stages, function.name, function.event, function.preparation)
        n_calls = len(baseline.own_calls)
        cases = all_cases(n_calls, most_overlaps=most_overlaps, seed=seed)
        progress(f"{function.name} makes {n_calls} call{'s' * (n_calls != 1)} to AWS: {len(cases)} cases")
        tried = _try_all(stages, function, baseline, cases)
        notes = [*baseline.notes, *_notes(tried), *_unrestorable(stages)]
    if len(tried) < len(cases):
        left_out = len(cases) - len(tried)
        notes.append(f"{left_out} cases were not run: they only swap calls that do not touch the same thing")
    if (possible := possible_overlaps(n_calls)) > most_overlaps > 0:
        notes.append(f"{most_overlaps} of {possible} ways in which two deliveries overlap were drawn, by seed {seed}")
    return Exploration(
        function=function.name,
        findings=tuple(_findings(tried, baseline)),
        cases=len(cases),
        seconds=time.monotonic() - began,
        calls=tuple(baseline.calls),
        notes=tuple(notes),
    )


def play_one(
    function: ExploredFunction,
    schedule: Schedule,
    *,
    progress: Log = _silent,
    debugged: Callable[[Stage], "ExitStack"] | None = None,
) -> Exploration:
    """Play one schedule, as a replay does.

    Args:
        function: The function and its event.
        schedule: The schedule.
        progress: Called with a line now and then.
        debugged: Returns what is entered while the schedule is played, such as a debugger's session.

    Raises:
        HarnessError: As `explore`, or nothing was struck: the function has not this many calls any more.
    """
    began = time.monotonic()
    with _stages(function, 1, progress) as (stage,):
        baseline = baseline_of([stage], function.name, function.event, function.preparation)
        with debugged(stage) if debugged else ExitStack():
            tried = _try_one(stage, function, baseline, schedule)
        notes = [*baseline.notes, *tried.play.missed, *_unrestorable([stage])]
    return Exploration(
        function=function.name,
        findings=tuple(_findings([tried], baseline)),
        cases=1,
        seconds=time.monotonic() - began,
        calls=tuple(baseline.calls),
        notes=tuple(notes),
    )


@contextmanager
def _stages(function: ExploredFunction, count: int, progress: Log) -> Iterator[list[Stage]]:
    """Start stages, one after the other: each needs all of a processor for a second."""
    told: dict[str, None] = {}

    def tell_once(line: str) -> None:
        # Two stages have the same to tell, and one that starts afresh tells it for each case.
        if line not in told:
            told[line] = None
            progress(line)

    with ExitStack() as open_:
        yield [
            open_.enter_context(
                stage_of(
                    function.settings,
                    function.name,
                    source=function.source,
                    config=function.config,
                    prepare=function.preparation.prepare,
                    retry_after_s=function.preparation.retry_after_s,
                    progress=tell_once,
                )
            )
            for _ in range(count)
        ]


def _try_all(
    stages: Sequence[Stage], function: ExploredFunction, baseline: Baseline, cases: Sequence[Schedule]
) -> list[TriedCase]:
    """Try all cases, on all stages at the same time; return them in the order of the cases.

    Overlaps with the same outcome as one that was tried are left out.
    """
    # A stage that has to start its services anew can do so in this thread only.
    usable = stages[:1] if any(stage.unrestorable for stage in stages) else stages
    groups, taking, failed = iter(_groups(cases)), threading.Lock(), threading.Event()
    tried: dict[Schedule, TriedCase] = {}

    def work(stage: Stage) -> None:
        try:
            while not failed.is_set():
                with taking:
                    group = next(groups, None)
                if group is None:
                    return
                for case in _tried_of(group, partial(_try_one, stage, function, baseline)):
                    tried[case.schedule] = case
                    if failed.is_set():
                        return
        except BaseException:
            # Also Ctrl-C, which arrives in the main thread: the others must not go on.
            failed.set()
            raise

    with ThreadPoolExecutor(max(1, len(usable) - 1), "exploring") as pool:
        others = [pool.submit(work, stage) for stage in usable[1:]]
        work(usable[0])
        for other in others:
            other.result()
    return [tried[case] for case in cases if case in tried]


def _groups(cases: Sequence[Schedule]) -> list[list[Schedule]]:
    """Return the cases in groups that are tried one after the other: overlaps by where delivery 1 is held."""
    groups: dict[object, list[Schedule]] = {}
    for case in cases:
        groups.setdefault(case.overlap.hold if case.overlap else case, []).append(case)
    return list(groups.values())


def _tried_of(group: Sequence[Schedule], try_one: Callable[[Schedule], TriedCase]) -> Iterator[TriedCase]:
    left = list(group)
    while left:
        tried = try_one(left.pop(0))
        yield tried
        if (overlap := tried.schedule.overlap) is not None:
            alike = like(tried.play, overlap, [case.overlap for case in left if case.overlap])
            left = [case for case in left if case.overlap not in alike]


def _try_one(stage: Stage, function: ExploredFunction, baseline: Baseline, schedule: Schedule) -> TriedCase:
    try:
        play = stage.play(partial(function.preparation.event_of, stage.client, function.event), schedule)
    except HarnessError as error:
        case = f"in this case: {in_words(schedule, baseline.calls)}"
        raise HarnessError(error.what, "; ".join(filter(None, (error.where, case))), error.remedy) from error
    state = final_state(stage.state.endpoints, play.calls, function.preparation.rules)
    violation = function.preparation.violation(stage.client)
    return TriedCase(schedule, play, tuple(differences(baseline.state, state)), violation)


def _findings(tried: Sequence[TriedCase], baseline: Baseline) -> Iterator[CaseFinding]:
    """Yield one finding for each symptom, with the first schedule that leads to it, which is the simplest."""
    alike: dict[object, list[TriedCase]] = {}
    for case in tried:
        if case.is_wrong:
            alike.setdefault(case.symptom(), []).append(case)
    for first, *others in alike.values():
        yield CaseFinding(
            title=in_words(first.schedule, baseline.calls),
            schedule=first.schedule,
            differences=first.differences,
            violation=first.violation,
            endings=tuple(first.play.endings),
            calls=tuple(first.play.calls),
            others=tuple(in_words(case.schedule, baseline.calls) for case in others),
        )


def _notes(tried: Sequence[TriedCase]) -> Iterator[str]:
    """Yield a line for each thing that schedules asked for in vain, with how many did."""
    missed = Counter(line for case in tried for line in case.play.missed)
    for line, count in missed.most_common():
        yield line if count == 1 else f"{line} ({count} cases)"


def _unrestorable(stages: Sequence[Stage]) -> list[str]:
    names = sorted({name for stage in stages for name in stage.unrestorable})
    if not names:
        return []
    return [f"a snapshot cannot bring back the state of {', '.join(names)}: each case began from fresh services"]
