"""When faults are due: the plan of one run beside what has been seen of that run so far.

Nothing here waits or talks to anybody; whoever sees a put asks, and carries out what is due.
"""

import dataclasses
import fnmatch
import random
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import msgspec

from harness.faults.plan import ALL_RANKS, CHAOS_ACTIONS, Chaos, Fault, Plan, make_fault

# Lambda tries an event three times in all: a rank that chaos kills more often ends its run.
_CHAOS_KILLS_PER_RANK = 2
# With no limit of their own these strike wherever they match; all others once.
_UNLIMITED = {("delay", "memcached"), ("delay", "s3"), ("refuse", "s3"), ("503", "s3")}


@dataclass(frozen=True, slots=True)
class Sight:
    """One put of a rank as it passes on the wire.

    Attributes:
        rank: Who puts.
        round: In which round.
        step: In which step of it.
        key: The whole key.
        attempt: The try of the rank, as its frame's header says; None where no header is in sight.
    """

    rank: int
    round: int
    step: int
    key: str
    attempt: int | None = None


class Event(msgspec.Struct, kw_only=True):
    """What became of one fault.

    Attributes:
        fault: The fault as text.
        action: What happened.
        target: To what.
        times: How often it struck.
        at: When it struck first, seconds since the epoch; None when it did not.
        rank: The rank at whose put it struck first.
        round: The round.
        step: The step.
        attempt: The try of the rank.
        chaos: Whether it was drawn at random.
    """

    fault: str
    action: str
    target: str
    times: int = 0
    at: float | None = None
    rank: int | None = None
    round: int | None = None
    step: int | None = None
    attempt: int | None = None
    chaos: bool = False

    def struck(self, sight: Sight | None = None, rank: int | None = None, attempt: int | None = None) -> None:
        """Notes one more strike, with the place of the first one."""
        self.times += 1
        if self.times > 1:
            return
        self.at, self.rank, self.attempt = time.time(), rank, attempt
        if sight is not None:
            self.rank, self.round, self.step, self.attempt = sight.rank, sight.round, sight.step, sight.attempt


@dataclass
class Strikes:
    """The faults of one run.

    Attributes:
        plan: What is planned.
        n_workers: How many ranks the run has.
        events: One entry per fault of the plan, then those that chaos has drawn.
        newest_round: The highest round of which a put was seen; -1 before the first.
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
        self.events = [event_of(fault) for fault in self.plan.faults]

    def at_put(self, sight: Sight) -> list[Fault]:
        """The faults that strike at this put, noted as having struck."""
        if sight.attempt is None:
            # A later piece of a frame is of the try that has put the first one.
            sight = dataclasses.replace(sight, attempt=self._attempts.get(sight.rank, 1))
        self._attempts[sight.rank] = sight.attempt or 1
        self.newest_round = max(self.newest_round, sight.round)
        due = [fault for number, fault in enumerate(self.plan.faults) if self._is_due(number, fault, sight)]
        self._keys[sight.rank, sight.round, sight.step].add(sight.key)
        if self.plan.chaos is not None:
            due += self._draw(self.plan.chaos, sight)
        return due

    def at_command(self) -> list[Fault]:
        """The delays that concern every command, whatever its key."""
        due = [
            (number, fault)
            for number, fault in enumerate(self.plan.faults)
            if _delays_all(fault) and self._left(number, fault)
        ]
        for number, _ in due:
            self.events[number].struck()
        return [fault for _, fault in due]

    def at_request(self, method: str, path: str) -> list[Fault]:
        """The faults that strike at this request to S3, noted as having struck."""
        due = []
        for number, fault in enumerate(self.plan.faults):
            started = fault.round is None or self.newest_round >= fault.round
            named = fault.key is None or fnmatch.fnmatchcase(path.lstrip("/"), fault.key)
            meant = fault.target == "s3" and (fault.action != "refuse" or method == "PUT")
            if meant and started and named and self._left(number, fault):
                self.events[number].struck()
                due.append(fault)
        return due

    def victims(self, fault: Fault, sight: Sight) -> list[int]:
        """The ranks that a fault at this put concerns."""
        return list(range(self.n_workers)) if fault.rank == ALL_RANKS else [sight.rank]

    def _is_due(self, number: int, fault: Fault, sight: Sight) -> bool:
        if fault.target == "s3" or not _is_on_the_wire(fault) or _delays_all(fault):
            return False
        if not self._at_address(fault, sight):
            return False
        others = self._keys[sight.rank, sight.round, sight.step] - {sight.key}
        if fault.when == "between-chunks" and not others:
            return False
        if fault.action == "evict":
            # Each frame once: what is put again stays.
            if (number, sight.key) in self._evicted:
                return False
            self._evicted.add((number, sight.key))
        elif not self._left(number, fault):
            return False
        self.events[number].struck(sight)
        return True

    def _at_address(self, fault: Fault, sight: Sight) -> bool:
        place = {"rank": sight.rank, "round": sight.round, "step": sight.step, "attempt": sight.attempt}
        wanted = {key: getattr(fault, key) for key in place}
        return all(value is None or value == ALL_RANKS or value == place[key] for key, value in wanted.items())

    def _left(self, number: int, fault: Fault) -> bool:
        limit = fault.n or (None if (fault.action, fault.target) in _UNLIMITED else 1)
        return limit is None or self.events[number].times < limit

    def _draw(self, chaos: Chaos, sight: Sight) -> list[Fault]:
        place = (sight.rank, sight.round)
        if place in self._drawn:
            return []
        self._drawn.add(place)
        dice = random.Random(f"{chaos.seed} {sight.rank} {sight.round}")
        if dice.random() >= chaos.rate:
            return []
        fault = _random_fault(dice, *place)
        if fault.action == "kill":
            if self._chaos_kills[sight.rank] == _CHAOS_KILLS_PER_RANK:
                return []
            self._chaos_kills[sight.rank] += 1
        event = event_of(fault, chaos=True)
        event.struck(sight)
        self.events.append(event)
        return [fault]


def event_of(fault: Fault, *, chaos: bool = False) -> Event:
    """The entry of a fault that has not struck yet."""
    return Event(fault=str(fault), action=fault.action, target=fault.target, chaos=chaos)


def _is_on_the_wire(fault: Fault) -> bool:
    """Whether a rank's put brings it about; the others are the Lambda service's own."""
    return fault.target in {"memcached", "gateway"} or (fault.target == "worker" and fault.action in {"kill", "freeze"})


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
    return make_fault(values, "chaos")
