"""Why a run took as long as it did: where its time went, for whom it waited, and what would help most, in ten lines."""

from collections.abc import Mapping, Sequence

import msgspec

from harness.insight.view import RunView, Share, Straggler
from harness.insight.zones import zones_of

# Shares below this part of a run's seconds are added up into one line.
LEAST_PART = 0.01
MOST_SHARES = 6


class Why(msgspec.Struct, frozen=True):
    """The answer.

    Attributes:
        run_id: The run.
        status: Its status.
        seconds: Its seconds so far.
        headline: What it was, in a line.
        shares: Where the time went, the largest part first; they add up to `seconds`.
        straggler: Whom the others waited for; None if nobody stood out.
        advice: What would help most; empty if nothing would.
        gaps: What the records lack.
        zones: The ranks in each zone, as far as their zones are known.
    """

    run_id: str
    status: str
    seconds: float
    headline: str
    shares: list[Share]
    straggler: Straggler | None
    advice: str
    gaps: list[str]
    zones: dict[str, list[int]] = {}


class Line(msgspec.Struct, frozen=True):
    """A line of the answer on a terminal.

    Attributes:
        label: What it is about.
        figure: Its seconds and its part of the run's; empty if it has none.
        text: What there is to say.
    """

    label: str
    figure: str
    text: str


def why(view: RunView) -> Why:
    """Return why a run took as long as it did."""
    return Why(
        view.run_id,
        view.status,
        view.seconds,
        _headline(view),
        view.shares,
        view.straggler,
        view.advice,
        view.gaps,
        zones_of((rank.rank, rank.zone) for rank in view.ranks),
    )


def lines_of(answer: Why) -> list[Line]:
    """Return the lines below the headline, nine at most."""
    found = [Line(share.name, _figure(share.seconds, answer.seconds), share.text) for share in _worth_a_line(answer)]
    if answer.straggler is not None:
        found.append(_late(answer.straggler, answer.seconds, answer.zones))
    found.append(Line("helps most", "", answer.advice or "nothing stands out"))
    if answer.gaps:
        more = f"; and {len(answer.gaps) - 1} more, see --json" if len(answer.gaps) > 1 else ""
        found.append(Line("unknown", "", answer.gaps[0] + more))
    return found


def _late(late: Straggler, seconds: float, zones: Mapping[str, Sequence[int]]) -> Line:
    rounds = f"round {late.first_round}"
    if late.last_round > late.first_round:
        rounds = f"rounds {late.first_round} to {late.last_round}"
    zone = next((zone for zone, ranks in zones.items() if late.rank in ranks), "")
    # In a single zone it explains nothing.
    place = f", in {zone}," if len(zones) > 1 and zone else ""
    return Line("straggler", _figure(late.waited_s, seconds), f"rank {late.rank}{place} was waited for in {rounds}")


def _worth_a_line(answer: Why) -> list[Share]:
    large = [share for share in answer.shares if share.seconds >= LEAST_PART * answer.seconds]
    shown = large if len(large) == len(answer.shares) <= MOST_SHARES else large[: MOST_SHARES - 1]
    rest = answer.shares[len(shown) :]
    if not rest:
        return shown
    names = ", ".join(share.name for share in rest)
    return [*shown, Share(name="rest", seconds=sum(share.seconds for share in rest), text=names)]


def _figure(seconds: float, total: float) -> str:
    part = f"{seconds / total:4.0%}" if total else ""
    return f"{seconds:.2f} s {part}"


def _in_zones(view: RunView) -> str:
    zones = list(zones_of((rank.rank, rank.zone) for rank in view.ranks))
    if not zones:
        return ""
    *others, last = zones
    return f" in {', '.join(others)} and {last}" if others else f" in {last}"


def _headline(view: RunView) -> str:
    facts = [f"{view.status} {'after' if view.status not in {'running', 'succeeded'} else 'in'} {view.seconds:.2f} s"]
    if view.status == "running":
        facts = [f"running for {view.seconds:.2f} s"]
    if view.ranks:
        facts.append(f"{len(view.ranks)} workers{_in_zones(view)}")
    if view.rounds.done:
        facts.append(f"{view.rounds.done} rounds")
    if view.epochs:
        facts.append(f"loss {view.epochs[-1].loss:.4g}")
    cause = f": {view.cause}" if view.cause else ""
    return f"{', '.join(facts)}{cause}"
