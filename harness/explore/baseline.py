"""The undisturbed run, which all cases are compared with; it is done twice, and both have to come to the same state."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from harness.errors import HarnessError
from harness.explore.comparing import Entry, differences, members
from harness.explore.prepare_file import Preparation
from harness.explore.records import CallRecord, Play
from harness.explore.rules import Rules
from harness.explore.schedule import Schedule
from harness.explore.stage import Stage
from harness.explore.state import final_state

_LONGEST_VALUE = 200
_MOST_NAMED = 3
_OTHER_ORDER = (
    "the calls came in another order in the second undisturbed run: "
    "a replay may strike another call than the one that a finding names"
)


@dataclass(frozen=True)
class Baseline:
    """What an undisturbed run does.

    Attributes:
        state: The final state, normalised.
        calls: All calls, those of invoked functions included.
        notes: What a reader of the findings should know.
    """

    state: list[Entry]
    calls: list[CallRecord]
    notes: tuple[str, ...] = ()

    @property
    def own_calls(self) -> list[CallRecord]:
        """Return the calls of the explored function itself."""
        return [call for call in self.calls if call.delivery]


def baseline_of(stages: Sequence[Stage], name: str, event: object, preparation: Preparation) -> Baseline:
    """Run a function undisturbed, twice, and check that it can be explored.

    Args:
        stages: The stages; each makes its share of the runs.
        name: The function's name.
        event: The event.
        preparation: What does not count, and what must hold.

    Raises:
        HarnessError: It fails, makes no call, connects to something past the proxy, or is not deterministic.
    """

    def run(stage: Stage) -> tuple[Play, list[Entry], str]:
        # A function that fails is known by its first attempt; one that hangs would take three times its time limit.
        play = stage.play(partial(preparation.event_of, stage.client, event), Schedule(), retried=False)
        state = final_state(stage.state.endpoints, play.calls, preparation.rules)
        return play, state, preparation.violation(stage.client)

    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(run, stages[1]) if len(stages) > 1 else None
        runs = [run(stages[0]), second.result() if second else run(stages[0])]
    for play, _, violation in runs:
        _check_run(name, play, violation, preparation)
    (first, state, _), (again, state_again, _) = runs
    _check_states(name, state, state_again)
    same_order = _order(first, preparation.rules) == _order(again, preparation.rules)
    return Baseline(state, first.calls, () if same_order else (_OTHER_ORDER,))


def _check_run(name: str, play: Play, violation: str, preparation: Preparation) -> None:
    if [ending.kind for ending in play.endings] != ["returned"]:
        failed = next((ending for ending in play.endings if ending.kind != "returned"), None)
        why = f"{failed.kind}: {failed.error}" if failed else "no attempt has ended"
        raise HarnessError(
            f"{name} fails without any fault, so nothing can be compared",
            # On one line, or the remedy is no longer within the three lines of an error.
            f"{' '.join(why.split()):.600}",
            "correct the event (--event), or let `prepare(client)` make what the function needs",
        )
    beyond = sorted(address for address in play.outside if not preparation.allows(address))
    if beyond:
        raise HarnessError(
            f"{name} connects to {', '.join(beyond[:_MOST_NAMED])}, past the proxy: effects there are not seen",
            remedy=f"if they do not matter, say so in the file of --prepare: outside = {json.dumps(beyond)}",
        )
    if not any(call.delivery for call in play.calls):
        raise HarnessError(
            f"{name} makes no call to AWS on this event: there is nothing to explore",
            remedy="give an event on which it does; clients must use the endpoints of their environment",
        )
    if violation:
        raise HarnessError(
            f"the invariant does not hold after a run of {name} without any fault",
            " ".join(violation.split())[:600],
            "correct `invariant(client)`, or the function",
        )


def _check_states(name: str, state: list[Entry], again: list[Entry]) -> None:
    different = [member for one in differences(state, again) for member in members(one)]
    if not different:
        return
    one, *others = different
    values = [json.dumps(value[0])[:_LONGEST_VALUE] if value else "absent" for value in (one.undisturbed, one.found)]
    also = ", ".join(other.address for other in others[: _MOST_NAMED - 1])
    more = f", and {len(different) - _MOST_NAMED} more" if len(different) > _MOST_NAMED else ""
    raise HarnessError(
        f"{name} is not deterministic: two runs without any fault differ at {one.address}",
        f"{values[0]} and {values[1]}" + (f"; also at {also}{more}" if others else ""),
        f'if this does not matter, say so in the file of --prepare: ignore = ["{one.address}"], or normalise = [...]',
    )


def _order(play: Play, rules: Rules) -> list[tuple[str, str, str]]:
    return [(call.service, call.operation, rules.text(call.target)) for call in play.calls if call.delivery]
