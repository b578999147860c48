"""The fault plan of a run: each fault is an action with an address and parameters.

The address says where in a run a fault is injected: (rank, round, step, attempt), as observed on the wire.
A part that is omitted matches any value; the fault is then injected at the first match.
`CATALOGUE` lists every fault that exists; anything else is rejected.
"""

import difflib
import random
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, NamedTuple, get_type_hints

import msgspec

from harness.errors import HarnessError
from harness.presets.zones import CACHE_ZONE, ZONES

ALL_RANKS = "all"

_MOST_SECONDS = 86_400


def _whole(least: int) -> msgspec.Meta:
    return msgspec.Meta(ge=least, description=f"a whole number from {least}")


Count = Annotated[int, _whole(1)]
Positive = Annotated[
    float, msgspec.Meta(gt=0, le=_MOST_SECONDS, description=f"a number above 0, up to {_MOST_SECONDS}")
]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=_MOST_SECONDS, description=f"seconds from 0 to {_MOST_SECONDS}")]
ZoneId = Annotated[str, msgspec.Meta(pattern="^[a-z0-9]+-az[0-9]$", description=f"the ID of a zone, as {ZONES[0]}")]
When = Literal["before-put", "after-put", "between-chunks"]
How = Literal["sigkill", "oom", "exit"]


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One fault.

    Attributes:
        action: What happens.
        target: What it happens to.
        rank: The rank that it applies to; `all` kills every rank at the first match. Faults of connections strike
            those of this rank alone.
        round: The round in which it is injected; round 0 is the one in which ranks join.
        step: The step within the round.
        attempt: The attempt of the rank, from 1.
        when: The moment of a rank's put at which a kill happens.
        how: How the end of a killed function appears to Lambda.
        ms: Delay, milliseconds.
        jitter_ms: By how much each delay is shorter or longer at most, drawn evenly, milliseconds.
        kbps: Bandwidth in each direction, kilobits per second.
        s: Duration, seconds.
        node: The number of the cache's node, from 1.
        down_s: How long a restarted or replaced Memcached is down, seconds.
        delay_s: Delay of an event's second delivery, or of an environment's start, seconds.
        delay_ms: How much later the other end learns that a connection is closed, milliseconds.
        delay_us: Pause between two slices, microseconds.
        bytes: The size of a slice, or what a connection carries in total, bytes.
        factor: How many times slower a straggler runs.
        n: How often the fault is injected.
        after: The number of worker invocations after which the coordinator is killed.
        key: Glob pattern of the S3 objects that it applies to.
        zone: The ID of the zone that is lost, or whose functions it applies to.
        lost: Whether the cold start never completes.
    """

    action: str
    target: str
    rank: Annotated[int, _whole(0)] | Literal["all"] | None = None
    round: Annotated[int, _whole(0)] | None = None
    step: Annotated[int, _whole(0)] | None = None
    attempt: Count | None = None
    when: When = "before-put"
    how: How = "sigkill"
    ms: Positive | None = None
    jitter_ms: Positive | None = None
    kbps: Positive | None = None
    s: Positive | None = None
    node: Count | None = None
    down_s: Seconds = 0.0
    delay_s: Seconds | None = None
    delay_ms: Positive | None = None
    delay_us: Annotated[float, msgspec.Meta(gt=0, le=1e6, description="a number above 0, up to 1000000")] | None = None
    bytes: Count | None = None
    factor: Annotated[float, msgspec.Meta(gt=1, le=1000, description="a number above 1, up to 1000")] | None = None
    n: Count | None = None
    after: Count | None = None
    key: str | None = None
    zone: ZoneId | None = None
    lost: bool = False

    def __str__(self) -> str:
        kind = CATALOGUE[self.action, self.target]
        given = msgspec.to_builtins(self)
        words = [self.action] if default_target(self.action) == self.target else [self.action, self.target]
        words += [key if given[key] is True else f"{key}={given[key]}" for key in kind.keys if key in given]
        return " ".join(words)

    def draw_delay_s(self, dice: random.Random) -> float:
        """Return how long one injection of this delay takes, seconds."""
        jitter_ms = self.jitter_ms or 0.0
        return ((self.ms or 0.0) + dice.uniform(-jitter_ms, jitter_ms)) / 1e3

    @property
    def lasts_to_the_end(self) -> bool:
        """Whether it strikes again and again until the run ends, once it has begun."""
        return self.factor is not None or (self.action in LASTING_ACTIONS and self.s is None)


class Kind(NamedTuple):
    """An entry of the catalogue.

    Attributes:
        needs: Keys of which exactly one must be given; empty if none is required.
        takes: Optional keys.
        meaning: What happens, in one line for the user guide.
    """

    needs: tuple[str, ...]
    takes: tuple[str, ...]
    meaning: str

    @property
    def keys(self) -> tuple[str, ...]:
        """Return all keys, the address first."""
        return (*[k for k in self.takes if k in ADDRESS], *self.needs, *[k for k in self.takes if k not in ADDRESS])


ADDRESS = ("rank", "round", "step", "attempt")
_OBJECTS = ("round", "key", "n")
_FROM_ROUND = ("rank", "round")
# A fault of these kinds can be limited to the functions of a zone.
_BY_ZONE = "zone"

# The first target of an action is its default.
CATALOGUE: dict[tuple[str, str], Kind] = {
    ("kill", "worker"): Kind((), (*ADDRESS, "when", "how"), "the rank's process ends at its put, and Lambda retries"),
    ("kill", "coordinator"): Kind((), ("after",), "the coordinator ends halfway through its fan-out"),
    ("kill", "gateway"): Kind((), ADDRESS, "the Lambda service itself ends, with everything in it"),
    ("freeze", "worker"): Kind(("s", "factor"), ADDRESS, "the rank is paused for s, or runs factor times slower"),
    ("duplicate", "worker"): Kind((), ("rank", "delay_s"), "Lambda delivers the rank's event twice"),
    ("cold-start", "worker"): Kind(
        ("delay_s", "lost"), ("rank", "attempt"), "the rank's environment starts late or never"
    ),
    ("throttle", "worker"): Kind((), ("rank", "n"), "Lambda throttles the rank's event n times"),
    ("lose", "zone"): Kind(
        ("zone",),
        ("round", "s"),
        "for s, or until the run ends, its environments end, and others start elsewhere",
    ),
    ("lose", "memcached"): Kind(
        ("node",),
        ADDRESS,
        "the node of the cache is gone until the run ends; the configuration endpoint lists the others",
    ),
    ("restart", "memcached"): Kind(
        (), (*ADDRESS, "node", "down_s"), "Memcached is killed and starts empty on the same port; one node, or all"
    ),
    ("replace", "memcached"): Kind(
        (),
        (*ADDRESS, "node", "down_s"),
        "as restart, but on another port, which the configuration endpoint lists under a higher version",
    ),
    ("evict", "memcached"): Kind((), ADDRESS, "every frame at the address is dropped right after its first store"),
    ("corrupt", "memcached"): Kind((), (*ADDRESS, "n"), "one byte of the stored frame is inverted"),
    ("refuse", "memcached"): Kind((), (*ADDRESS, "n"), "Memcached refuses the store: out of memory"),
    ("refuse", "s3"): Kind((), _OBJECTS, "every store, or the first n, fails as on a full disk"),
    ("delay", "memcached"): Kind(
        ("ms",),
        (*ADDRESS, "jitter_ms", "n", _BY_ZONE),
        "stores at the address are delayed; without an address, all commands, or all from a zone",
    ),
    ("delay", "s3"): Kind(
        ("ms",),
        ("rank", "jitter_ms", *_OBJECTS, _BY_ZONE),
        "every request, or the first n, or from a rank or a zone, is delayed",
    ),
    ("bandwidth", "memcached"): Kind(
        ("kbps",), (*ADDRESS, "s"), "every connection is limited to kbps for s, or until the run ends"
    ),
    ("slice", "memcached"): Kind(
        ("bytes",), (*ADDRESS, "delay_us", "s"), "replies arrive in slices of so many bytes, delay_us apart"
    ),
    ("slice", "s3"): Kind(("bytes",), (*_FROM_ROUND, "delay_us", "s"), "answers arrive in slices, delay_us apart"),
    ("limit", "memcached"): Kind(
        ("bytes",), (*ADDRESS, "s"), "every connection is closed after so many bytes, both ways together"
    ),
    ("limit", "s3"): Kind(
        ("bytes",), (*_FROM_ROUND, "s"), "every connection is closed after so many bytes, both ways together"
    ),
    ("slow-close", "memcached"): Kind(
        ("delay_ms",), (*ADDRESS, "s"), "the other end of a connection learns delay_ms late that it is closed"
    ),
    ("slow-close", "s3"): Kind(
        ("delay_ms",), (*_FROM_ROUND, "s"), "the other end of a connection learns delay_ms late that it is closed"
    ),
    ("cut", "memcached"): Kind(("s",), ADDRESS, "connections break, and new ones are refused for s"),
    ("cut", "s3"): Kind(("s",), ("rank", "round", "key"), "connections break, and new ones are refused for s"),
    ("blackhole", "memcached"): Kind(("s",), ADDRESS, "connections are accepted, but no data passes for s"),
    ("blackhole", "s3"): Kind(("s",), _FROM_ROUND, "connections are accepted, but no data passes for s"),
    ("503", "s3"): Kind((), _OBJECTS, "every request, or the first n, is answered with `503 Slow Down`"),
}


def default_target(action: str) -> str | None:
    """Return the target of an action when none is given; None for an unknown action."""
    return next((target for known, target in CATALOGUE if known == action), None)


# Faults that last on connections, for s or until the run ends.
LASTING_ACTIONS = ("bandwidth", "slice", "limit", "slow-close", "blackhole")

CHAOS_ACTIONS = ("kill", "freeze", "restart", "evict", "corrupt", "refuse", "delay", "cut")


class Chaos(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Faults drawn at random: each first put of a rank in a round may trigger one.

    A draw depends on the seed, the rank and the round alone, not on the order in which puts arrive.

    Attributes:
        seed: Seed of the draws.
        rate: Probability of a fault per rank and round.
    """

    seed: Annotated[int, _whole(0)]
    rate: Annotated[float, msgspec.Meta(ge=0, le=1, description="a number from 0 to 1")]


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All faults of a run."""

    faults: tuple[Fault, ...] = ()
    chaos: Chaos | None = None

    def __bool__(self) -> bool:
        return bool(self.faults) or self.chaos is not None


def make_fault(values: dict[str, object], where: str) -> Fault:
    """Return a fault after checking its keys and values.

    Args:
        values: `action`, optionally `target`, and the keys as given.
        where: The fault as the user wrote it, for error messages.

    Raises:
        HarnessError: A word, a key or a value is invalid; the message names it and what is allowed.
    """
    action = str(values.get("action"))
    targets = [target for known, target in CATALOGUE if known == action]
    if not targets:
        known_actions = list(dict.fromkeys(known for known, _ in CATALOGUE))
        raise _wrong(where, "action", action, _one_of(known_actions, action))
    target = str(values.get("target", targets[0]))
    if target not in targets:
        raise _wrong(where, f"target of {action}", target, _one_of(targets, target))
    kind = CATALOGUE[action, target]
    for key in values.keys() - {"action", "target"}:
        if key not in kind.keys:
            raise _wrong(where, f"key of `{action} {target}`", key, _one_of(kind.keys, key))
    for key, value in values.items():
        _check_value(where, key, value)
    if kind.needs and not any(key in values for key in kind.needs):
        needed = " or ".join(kind.needs)
        raise HarnessError(f"`{action} {target}` lacks {needed}", f"in fault `{where}`", f"add {kind.needs[0]}=...")
    if len([key for key in kind.needs if key in values]) > 1:
        raise HarnessError(f"{' and '.join(kind.needs)} exclude each other", f"in fault `{where}`", "leave one out")
    fault = msgspec.convert({**values, "target": target}, Fault)
    if fault.jitter_ms is not None and fault.jitter_ms > (fault.ms or 0.0):
        raise _wrong(where, "jitter_ms", fault.jitter_ms, f"a number above 0, up to ms = {fault.ms:g}")
    if values.get("rank") == ALL_RANKS and (action, target) != ("kill", "worker"):
        raise _wrong(where, "rank", ALL_RANKS, "a whole number from 0; only `kill` takes `all`")
    return fault


def check_plan(plan: Plan, *, n_workers: int, rounds: int | None) -> None:
    """Check the addresses of a plan against the job.

    Args:
        plan: The plan.
        n_workers: The number of ranks of the job.
        rounds: The most rounds that the job can have; None if that depends on its data.

    Raises:
        HarnessError: No run of this job can reach an address.
    """
    for fault in plan.faults:
        if isinstance(fault.rank, int) and fault.rank >= n_workers:
            raise _wrong(str(fault), "rank", fault.rank, f"0 to n_workers - 1 = {n_workers - 1}")
        if rounds is not None and fault.round is not None and fault.round > rounds:
            raise _wrong(str(fault), "round", fault.round, f"0 to {rounds}, the rounds of this job")
        if fault.after is not None and fault.after > n_workers:
            raise _wrong(str(fault), "after", fault.after, f"1 to n_workers = {n_workers}")


def check_zones(plan: Plan, count: int) -> None:
    """Check the zones of a plan.

    Args:
        plan: The plan.
        count: The number of zones that functions run in.

    Raises:
        HarnessError: There is no such zone, or no run can end without it.
    """
    for fault in plan.faults:
        if fault.zone is not None:
            _check_zone(fault, ZONES[:count])


def _check_zone(fault: Fault, zones: Sequence[str]) -> None:
    if fault.zone not in zones:
        more = "" if len(zones) == len(ZONES) else f"; `--zones {len(zones) + 1}` adds {ZONES[len(zones)]}"
        raise _wrong(str(fault), "zone", fault.zone, f"{', '.join(zones)}, where functions of this run are{more}")
    if fault.action == "lose" and fault.s is None and (fault.zone == CACHE_ZONE or len(zones) == 1):
        why = "the cache is in it" if fault.zone == CACHE_ZONE else "there is no other"
        raise HarnessError(
            f"a run cannot end without the zone {fault.zone}: {why}", f"in fault `{fault}`", "say when it is back: s=5"
        )


def check_nodes(plan: Plan, count: int) -> None:
    """Check the nodes of a plan.

    Args:
        plan: The plan.
        count: The number of the cache's nodes.

    Raises:
        HarnessError: There is no such node, or no run can end without it.
    """
    lost: set[int] = set()
    for fault in plan.faults:
        if fault.node is None:
            continue
        if fault.node > count:
            raise _wrong(str(fault), "node", fault.node, f"1 to {count}; `--cache-nodes {fault.node}` has more")
        if fault.action == "lose":
            lost.add(fault.node)
        if len(lost) == count:
            raise HarnessError(
                "a run cannot end without a node of the cache",
                f"in fault `{fault}`",
                f"have more nodes, as --cache-nodes {count + 1}, or say `replace memcached node={fault.node}`",
            )


def check_fault(fault: Fault) -> None:
    """Check a fault that was received over the network, whose fields are valid one by one but may not go together.

    Raises:
        HarnessError: Some fields exclude each other.
    """
    make_fault(msgspec.to_builtins(fault), f"{fault.action} {fault.target}")


_HINTS = get_type_hints(Fault, include_extras=True)


def _check_value(where: str, key: str, value: object) -> None:
    try:
        msgspec.convert(value, _HINTS[key])
    except msgspec.ValidationError as error:
        raise _wrong(where, key, value, describe(key)) from error


def describe(key: str) -> str:
    """Return what a key of a fault may hold."""
    hint = _HINTS[key]
    if hint is bool:
        return "true or false"
    for part in (hint, *getattr(hint, "__args__", ())):
        for meta in getattr(part, "__metadata__", ()):
            return f"{meta.description}, or `all`" if key == "rank" else str(meta.description)
    choices = getattr(hint, "__args__", ())
    return "a text" if type(None) in choices else _one_of(choices)


def _one_of(choices: Iterable[str], given: str = "") -> str:
    choices = list(choices)
    close = difflib.get_close_matches(given, choices, n=1)
    return f"{', '.join(choices)}" + (f"; did you mean {close[0]}?" if close else "")


def _wrong(where: str, field: str, value: object, allowed: str) -> HarnessError:
    return HarnessError(f"{field} is {value!r}", f"in fault `{where}`", f"allowed: {allowed}")
