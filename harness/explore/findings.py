"""What an exploration found, as records: they are its JSON, and what its pages are written from."""

import msgspec

from harness.explore.comparing import StateDifference
from harness.explore.records import CallRecord, Ending, Play
from harness.explore.schedule import Schedule


class CaseFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule after which the state is wrong, and all others that lead to the same.

    Attributes:
        title: The schedule in words.
        schedule: The simplest one of those that lead to this.
        differences: Where the final state differs from that after the undisturbed run.
        violation: What the function's own invariant says; empty if it holds, or if there is none.
        endings: How each attempt ended.
        calls: The calls to AWS in the order in which they arrived, each with what struck it.
        others: Further schedules, in words, after which the same addresses are wrong in the same way.
        file: Where the schedule is stored for a replay; empty if it is not.
    """

    title: str
    schedule: Schedule
    differences: tuple[StateDifference, ...] = ()
    violation: str = ""
    endings: tuple[Ending, ...] = ()
    calls: tuple[CallRecord, ...] = ()
    others: tuple[str, ...] = ()
    file: str = ""


class Exploration(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an exploration.

    Attributes:
        function: The function's name.
        findings: What is wrong, the simplest schedule first; empty if nothing is.
        cases: How many schedules were tried.
        seconds: How long that took, the start of the services included.
        calls: The calls to AWS of the undisturbed run.
        notes: What a reader should know besides: schedules that were left out or had no effect, ...
    """

    function: str
    findings: tuple[CaseFinding, ...] = ()
    cases: int = 0
    seconds: float = 0.0
    calls: tuple[CallRecord, ...] = ()
    notes: tuple[str, ...] = ()


class TriedCase(msgspec.Struct, frozen=True):
    """One case, and what came of it.

    Attributes:
        schedule: The schedule.
        play: What the stage saw.
        differences: Where the state differs.
        violation: What the invariant says.
    """

    schedule: Schedule
    play: Play
    differences: tuple[StateDifference, ...]
    violation: str

    @property
    def is_wrong(self) -> bool:
        """Return whether this is a finding."""
        return bool(self.differences or self.violation)

    def symptom(self) -> object:
        """Return what makes two findings the same one: which addresses are wrong, each in which way."""
        return tuple((one.address, _way(one)) for one in self.differences) or self.violation


def _way(difference: StateDifference) -> str:
    before, after = len(difference.undisturbed), len(difference.found)
    if not before or not after:
        return "absent" if before else "additional"
    return "changed" if before == after else "more" if after > before else "fewer"
