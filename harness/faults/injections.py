"""When faults are due: the plan of one run, and what has been observed of that run so far.

Nothing here waits or communicates; whoever observes a put asks, and injects the faults that are due.
"""

import dataclasses
import fnmatch
import random
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import msgspec

from harness.faults.plan import ALL_RANKS, CHAOS_ACTIONS, Chaos, Fault, Plan, make_fault

# Lambda tries an event three times in total, so a third kill of the same rank would end the run.
_CHAOS_KILLS_PER_RANK = 2
# Without an explicit limit, these faults are injected at every match; all others only once.
_UNLIMITED = {("delay", "memcached"), ("delay", "s3"), ("refuse", "s3"), ("503", "s3")}


@dataclass(frozen=True, slots=True)
class ObservedPut:
    """One put of a rank, as observed on the wire.

    Attributes:
        rank: The rank that puts.
        round: The round.
        step: The step within the round.
        key: The whole key.
        attempt: The attempt of the rank, from its frame's header; None if no header was observed.
    """

    rank: int
    round: int
    step: int
    key: str
    attempt: int | None = None


class Event(msgspec.Struct, kw_only=True):
    """The outcome of one fault.

    Attributes:
        fault: The fault as text.
        action: The fault's action.
        target: The fault's target.
        times: How often the fault was injected.
        at: Time of the first injection, seconds since the epoch; None if there was none.
        last_at: Time of the last injection.
        rank: The rank whose put triggered the first injection.
        round: The round of that put.
        step: The step of that put.
        attempt: The attempt of that rank.
        chaos: Whether the fault was drawn at random.
    """

    fault: str
    action: str
    target: str
    times: int = 0
    at: float | None = None
    last_at: float | None = None
    rank: int | None = None
    round: int | None = None
    step: int | None = None
    attempt: int | None = None
    chaos: bool = False

    def record(self, put: ObservedPut | None = None, rank: int | None = None, attempt: int | None = None) -> None:
        """Count one more injection, and record where the first one happened."""
        self.times += 1
        self.last_at = time.time()
        if self.times > 1:
            return
        self.at, self.rank, self.attempt = self.last_at, rank, attempt
        if put is not None:
            self.rank, self.round, self.step, self.attempt = put.rank, put.round, put.step, put.attempt


@dataclass
class Injections:
    """The faults of one run.

    Attributes:
        plan: The run's fault plan.
        n_workers: The number of ranks.
        events: One entry per fault of the plan, followed by the faults that chaos has drawn.
        newest_round: The highest round in which a put was observed; -1 before the first.
    """

    plan: Plan
    n_workers: int
    events: list[Event] = field(default_factory=list)
    newest_round: int = -1
    _keys: defaultdict[tuple[int, int, int], set[str]] = field(default_factory=lambda: defaultdict(set))
    _evicted: set[tuple[int, str]] = field(default_factory=set)
    _drawn: set[tuple[int, int]] = field(default_factory=set)
    _chaos_kills: Counter[int] = field(default_factory=Counter)
    _attempts: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.events = [new_event(fault) for fault in self.plan.faults]

    def at_put(self, put: ObservedPut, zone: str = "") -> list[Fault]:
        """Return the faults to inject at this put, and record them as injected.

        Args:
            put: The put.
            zone: The zone that it comes from; empty if no fault depends on it.
        """
        if put.attempt is None:
            # A later piece of a frame belongs to the attempt that put the first piece.
            put = dataclasses.replace(put, attempt=self._attempts.get(put.rank, 1))
        self._attempts[put.rank] = put.attempt or 1
        self.newest_round = max(self.newest_round, put.round)
        here = [(number, fault) for number, fault in enumerate(self.plan.faults) if _is_of(fault, zone)]
        due = [fault for number, fault in here if self._is_due(number, fault, put)]
        self._keys[put.rank, put.round, put.step].add(put.key)
        if self.plan.chaos is not None:
            due += self._draw(self.plan.chaos, put)
        return due

    def at_command(self, zone: str = "") -> list[Fault]:
        """Return the delays that apply to every command from a zone, whatever its key."""
        due = [
            (number, fault)
            for number, fault in enumerate(self.plan.faults)
            if _delays_all(fault) and _is_of(fault, zone) and self._left(number, fault)
        ]
        for number, _ in due:
            self.events[number].record()
        return [fault for _, fault in due]

    def at_request(self, method: str, path: str, zone: str = "", rank: int | None = None) -> list[Fault]:
        """Return the faults to inject at this request to S3, and record them as injected.

        Args:
            method: The request's method.
            path: Its path: bucket and key.
            zone: The zone that it comes from; empty if no fault depends on it.
            rank: The rank that it comes from; None if it is no rank's, or if no fault depends on it.
        """
        due = []
        for number, fault in enumerate(self.plan.faults):
            started = fault.round is None or self.newest_round >= fault.round
            named = fault.key is None or fnmatch.fnmatchcase(path.lstrip("/"), fault.key)
            meant = fault.target == "s3" and (fault.action != "refuse" or method == "PUT")
            meant &= fault.rank in (None, rank)
            if meant and started and named and _is_of(fault, zone) and self._left(number, fault):
                self.events[number].record(rank=rank if fault.rank is not None else None)
                due.append(fault)
        return due

    @property
    def ranks_at_s3(self) -> bool:
        """Whether some fault of S3 applies to the requests of one rank alone."""
        return any(fault.target == "s3" and fault.rank is not None for fault in self.plan.faults)

    def target_ranks(self, fault: Fault, put: ObservedPut) -> list[int]:
        """Return the ranks that a fault at this put applies to."""
        return list(range(self.n_workers)) if fault.rank == ALL_RANKS else [put.rank]

    def _is_due(self, number: int, fault: Fault, put: ObservedPut) -> bool:
        if fault.target == "s3" or not _is_on_the_wire(fault) or _delays_all(fault):
            return False
        if not self._at_address(fault, put):
            return False
        others = self._keys[put.rank, put.round, put.step] - {put.key}
        if fault.when == "between-chunks" and not others:
            return False
        if fault.action == "evict":
            # Each frame is evicted once: a republished frame stays.
            if (number, put.key) in self._evicted:
                return False
            self._evicted.add((number, put.key))
        elif not self._left(number, fault):
            return False
        self.events[number].record(put)
        return True

    def _at_address(self, fault: Fault, put: ObservedPut) -> bool:
        place = {"rank": put.rank, "round": put.round, "step": put.step, "attempt": put.attempt}
        address = {key: getattr(fault, key) for key in place}
        return all(value is None or value == ALL_RANKS or value == place[key] for key, value in address.items())

    def _left(self, number: int, fault: Fault) -> bool:
        limit = fault.n or (None if (fault.action, fault.target) in _UNLIMITED else 1)
        return limit is None or self.events[number].times < limit

    def _draw(self, chaos: Chaos, put: ObservedPut) -> list[Fault]:
        place = (put.rank, put.round)
        if place in self._drawn:
            return []
        self._drawn.add(place)
        dice = random.Random(f"{chaos.seed} {put.rank} {put.round}")
        if dice.random() >= chaos.rate:
            return []
        fault = _random_fault(dice, *place)
        if fault.action == "kill":
            if self._chaos_kills[put.rank] == _CHAOS_KILLS_PER_RANK:
                return []
            self._chaos_kills[put.rank] += 1
        event = new_event(fault, chaos=True)
        event.record(put)
        self.events.append(event)
        return [fault]


def new_event(fault: Fault, *, chaos: bool = False) -> Event:
    """Return the entry of a fault that has not been injected yet."""
    return Event(fault=str(fault), action=fault.action, target=fault.target, chaos=chaos)


def _is_on_the_wire(fault: Fault) -> bool:
    """Return whether a rank's put triggers this fault; the Lambda service triggers the others itself."""
    return fault.target in {"memcached", "gateway", "zone"} or (
        fault.target == "worker" and fault.action in {"kill", "freeze"}
    )


def _is_of(fault: Fault, zone: str) -> bool:
    """Return whether a fault applies to what comes from a zone; the loss of a zone applies wherever it is seen from."""
    return fault.target == "zone" or fault.zone in (None, zone)


def _delays_all(fault: Fault) -> bool:
    address = (fault.rank, fault.round, fault.step, fault.attempt)
    return (fault.action, fault.target) == ("delay", "memcached") and address == (None,) * 4


def _random_fault(dice: random.Random, rank: int, round_number: int) -> Fault:
    action = dice.choice(CHAOS_ACTIONS)
    values: dict[str, object] = {"action": action, "rank": rank, "round": round_number}
    if action == "kill":
        values["when"] = dice.choice(("before-put", "after-put"))
    elif action == "delay":
        values |= {"ms": round(dice.uniform(5, 200), 1), "n": 1}
    elif action in {"freeze", "cut"}:
        values["s"] = round(dice.uniform(0.05, 0.5), 3)
        if action == "cut" and dice.choice((True, False)):
            del values["rank"]  # all ranks, not this one alone
    return make_fault(values, "chaos")
