"""The number of workers for a deadline or a budget: which setting is best, and how sure that is."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from harness.errors import HarnessError
from harness.report.assumptions import Assumptions
from harness.report.forecast import Forecast, SampledRun, sample_run
from harness.report.measurements import Measured

# A setting meets a limit if so many of its samples do.
SURE = 0.9
# Numbers of workers that are tried first; then those between the best one and its neighbours.
COARSE = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
MOST_BETWEEN = 5
_NEEDS_MEMORY = "needs"


@dataclass(frozen=True, slots=True)
class Limit:
    """What a run must keep to: one of the two.

    Attributes:
        deadline_s: It ends within this time.
        budget_usd: It costs no more than this.
    """

    deadline_s: float | None = None
    budget_usd: float | None = None

    def share(self, run: SampledRun) -> float:
        """Return the share of samples that keep to it."""
        if self.deadline_s is not None:
            return float((run.seconds <= self.deadline_s).mean())
        return float((run.usd <= (self.budget_usd or 0.0)).mean())

    def wanted(self, line: Forecast) -> float:
        """Return what is to be small among settings that keep to it: cost within a deadline, time within a budget."""
        return line.usd if self.deadline_s is not None else line.seconds

    def limited(self, line: Forecast) -> float:
        """Return what is limited."""
        return line.seconds if self.deadline_s is not None else line.usd

    def __str__(self) -> str:
        """Word it."""
        return f"{self.deadline_s:g} s" if self.deadline_s is not None else f"{self.budget_usd:g} USD"


@dataclass(frozen=True, slots=True)
class Choice:
    """The best setting.

    Attributes:
        best: The setting.
        share: The share of its samples that keep to the limit.
        tried: All settings that were tried, by workers and memory.
    """

    best: Forecast
    share: float
    tried: list[Forecast] = field(default_factory=list)


def choose(run: Measured, memory_mb: Sequence[int], assumptions: Assumptions, limit: Limit) -> Choice:
    """Return the cheapest setting within a deadline, or the quickest within a budget.

    Args:
        run: The measurements.
        memory_mb: The memory sizes to choose among.
        assumptions: AWS's figures and rates.
        limit: The deadline or the budget.

    Raises:
        HarnessError: No setting keeps to the limit with enough of its samples; the message has the best there is.
    """
    sampled: dict[tuple[int, int], SampledRun] = {}

    def sample(workers: Iterable[int]) -> None:
        for count in workers:
            for size in memory_mb:
                if (count, size) not in sampled:
                    sampled[count, size] = sample_run(run, count, size, assumptions)

    most = max(1, run.round_rows)
    coarse = [count for count in COARSE if count <= most]
    sample(coarse)
    best = _best(sampled, limit)
    sample(_between(coarse, best.workers))
    best = _best(sampled, limit)
    share = limit.share(sampled[best.workers, best.memory_mb])
    if share < SURE:
        raise _missed(best, share, limit)
    return Choice(best, share, [sampled[key].forecast for key in sorted(sampled)])


def _best(sampled: dict[tuple[int, int], SampledRun], limit: Limit) -> Forecast:
    """Return the best of those that keep to the limit; if none does, the one that comes nearest to it."""
    fits = [one for one in sampled.values() if not one.forecast.note.startswith(_NEEDS_MEMORY)] or [*sampled.values()]
    kept = [one for one in fits if limit.share(one) >= SURE]
    key: Callable[[Forecast], float] = limit.wanted if kept else limit.limited
    return min((one.forecast for one in kept or fits), key=key)


def _between(coarse: Sequence[int], best: int) -> list[int]:
    """Return numbers between the best one and its neighbours, evenly spread."""
    found: list[int] = []
    for low, high in pairwise(coarse):
        if best in {low, high}:
            step = max(1, (high - low) // (MOST_BETWEEN + 1))
            found += range(low + step, high, step)
    return found


def workers(count: int) -> str:
    """Word a number of workers."""
    return "1 worker" if count == 1 else f"{count} workers"


def _missed(best: Forecast, share: float, limit: Limit) -> HarnessError:
    what, best_of = ("ends within", "quickest") if limit.deadline_s is not None else ("costs at most", "cheapest")
    return HarnessError(
        f"no number of workers {what} {limit} in {SURE:.0%} of the samples",
        f"the {best_of}: {workers(best.workers)} of {best.memory_mb} MB, {best.seconds:.2f} s "
        f"({best.seconds_p10:.2f} to {best.seconds_p90:.2f}), {best.usd:.6f} USD "
        f"({best.usd_p10:.6f} to {best.usd_p90:.6f}); {share:.0%} of its samples",
        "raise the limit, or try other sizes: --memory-mb 1024,1769",
    )
