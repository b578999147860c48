"""The checks of a user's own model, run as a script in a process of their own, with the function's package.

It reads a request (JSON) from standard input, and prints the findings (JSON) in the last line of its output.
It imports NumPy and `training` alone, since the function's environment has no more.

The gradient is compared with central differences of the loss, (f(p + h) - f(p - h)) / 2h, of the same training step, so
with the same dropout: for each parameter along a random direction, and where those differ along single coordinates.
A module is converted to float64 for it, if it can compute in float64; NumPy objects and others get a larger step.
"""

import json
import math
import random
import resource
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.errors import InputError
from training.exchange.channel.memory import MemoryChannel
from training.exchange.exchange import Exchange
from training.exchange.mailbox import Mailbox
from training.model.base import sections_of
from training.model.own import facts_of, load_own, made_from, make_own

RANKS = 3
STEPS = 4
# Of a difference to the larger of both, or of the largest of all parameters.
TOLERANCE, LOOSE = 0.01, 0.05
# Of the ranks' parameters to the lone worker's, by norm.
SAME = 1e-3
_MOST_SLOTS = 60
_MOST_COORDINATES = 12


class CheckLine(NamedTuple):
    """One line of the check.

    Attributes:
        name: What was checked.
        state: Passed, a remark, or failed.
        message: What was found.
    """

    name: str
    state: str
    message: str


def check(name: str, facts: Mapping[str, Any], x: Any, y: NDArray[Any]) -> dict[str, Any]:  # noqa: ANN401 - rows
    """Check a model on some rows.

    Args:
        name: `module:Name`.
        facts: Those of `training.model.own.facts_of`.
        x: Rows.
        y: Their classes or targets.

    Returns:
        `findings`, a list of `CheckLine`s as objects; `sizes`; and `ok`.
    """
    findings: list[CheckLine] = []
    sizes: dict[str, Any] = {}
    try:
        model = _made(name, facts)
        start = model.initial(facts["seed"])
        findings.append(CheckLine("made", "ok", f"{start.size:,} numbers from {_arguments(facts)}"))
        sizes = _sizes(model, start)
        findings.append(_same_start(name, facts, start))
        findings.append(_step(model, start, x, y, sizes))
        findings.append(_repeats(name, facts, start, x, y))
        findings.append(_gradient(name, facts, model, start, x, y))
        findings.append(_scores(model, start, x, y))
        findings.append(_ranks(name, facts, x, y))
    except InputError as error:
        findings.append(CheckLine("model", "failed", str(error)))
    sizes["max_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    found = [finding._asdict() for finding in findings]
    return {"model": name, "ok": all(f.state != "failed" for f in findings), "findings": found, "sizes": sizes}


def _made(name: str, facts: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a model
    return make_own(name, facts)


def _arguments(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={facts[key]}" for key in ("n_features", "n_classes", "seed"))


def _sizes(model: Any, start: NDArray[np.float32]) -> dict[str, Any]:  # noqa: ANN401
    trained, averaged = sections_of(model, start)
    layout = getattr(model, "layout", None)
    slots = [] if layout is None else [*layout.trained, *layout.averaged, *layout.kept]
    return {
        "trained": trained,
        "averaged": averaged,
        "frozen": start.size - trained - averaged,
        "bytes": start.nbytes,
        # The loss travels with them.
        "round_bytes": {"grad_avg": 4 * (trained + averaged + 1), "model_avg": 4 * (start.size + 1)},
        "arrays": [
            {"name": s.name, "shape": list(s.shape), "dtype": str(s.dtype).removeprefix("torch.")} for s in slots
        ],
    }


def _same_start(name: str, facts: Mapping[str, Any], start: NDArray[np.float32]) -> CheckLine:
    """Make the model once more with other states of the global generators, as on another rank."""
    random.seed(facts["seed"] + 1)
    np.random.seed(facts["seed"] % 1000 + 1)  # noqa: NPY002 - users' code draws from it
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(facts["seed"] + 1)
    again = _made(name, facts).initial(facts["seed"])
    if again.tobytes() == start.tobytes():
        return CheckLine("start", "ok", "the same parameters whenever it is made from the same seed")
    where = _where(_made(name, facts), int(np.flatnonzero(again != start)[0])) if again.size == start.size else "sizes"
    return CheckLine(
        "start",
        "failed",
        f"parameters differ from one time to the next ({where}): each rank would start from its own; draw them from "
        "torch, numpy.random or random, which are seeded, and not from the time, the process or an unseeded generator",
    )


def _step(model: Any, start: NDArray[np.float32], x: Any, y: NDArray[Any], sizes: dict[str, Any]) -> CheckLine:  # noqa: ANN401
    model.begin_step(1, 0)
    answer = model.loss_and_gradient(start, x, y)
    if not math.isfinite(answer.loss):
        return CheckLine("loss", "failed", f"the loss of {len(y)} rows is {answer.loss} before any step")
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        model.loss_and_gradient(start, x, y)
        seconds.append(time.perf_counter() - started)
    sizes["step_ms"] = round(1e3 * min(seconds), 3)
    return CheckLine("loss", "ok", f"{answer.loss / len(y):.4g} per row before any step, gradient finite")


def _repeats(name: str, facts: Mapping[str, Any], start: NDArray[np.float32], x: Any, y: NDArray[Any]) -> CheckLine:  # noqa: ANN401
    """Compute two steps, and the second one alone, as a rank does that comes back."""
    first, second = _made(name, facts), _made(name, facts)
    answers = []
    for model, steps in ((first, (1, 2)), (second, (2,))):
        for step in steps:
            model.begin_step(step, 0)
            answer = model.loss_and_gradient(start, x, y)
        answers.append(answer)
    if answers[0].gradient.tobytes() == answers[1].gradient.tobytes() and answers[0].loss == answers[1].loss:
        return CheckLine("repeats", "ok", "a step computed again has the same bits, so a rank that comes back agrees")
    index = int(np.flatnonzero(answers[0].gradient != answers[1].gradient)[0])
    return CheckLine(
        "repeats",
        "failed",
        f"a step computed again differs ({_where(first, index)}): it depends on something beside parameters and rows, "
        "such as a counter of calls, the time, or a generator other than torch's global one",
    )


def _gradient(
    name: str,
    facts: Mapping[str, Any],
    model: Any,  # noqa: ANN401
    start: NDArray[np.float32],
    x: Any,  # noqa: ANN401
    y: NDArray[Any],
) -> CheckLine:
    model.begin_step(1, 0)
    gradient = model.loss_and_gradient(start, x, y).gradient.astype(np.float64)
    exact = _in_float64(name, facts, start, x, y)
    differences = _Differences(exact or model, start, x, y, steps=(1e-3, 1e-4) if exact else (1e-2, 3e-3))
    tolerance = TOLERANCE if exact else LOOSE
    slots, generator = _slots(model, start.size), np.random.default_rng(0)
    largest, worst, checked = float(np.abs(gradient[: slots[-1][2]]).max(initial=0.0)), 0.0, 0
    # float32 carries seven digits of the whole loss.
    noise = 0.0 if exact else 1e-6 * abs(differences.loss) / differences.steps[0]
    for label, first, end in slots:
        direction = np.zeros(start.size, np.float32)
        direction[first:end] = generator.choice([-1.0, 1.0], end - first)
        gap = differences.gap(gradient, direction, largest, noise)
        checked, worst = checked + 1, max(worst, gap)
        if gap > tolerance:
            index, expected = differences.worst_coordinate(gradient, first, end, generator)
            return CheckLine(
                "gradient",
                "failed",
                f"the gradient is not the loss's at {_where(model, index)}: it is {gradient[index]:.6g}, and the loss "
                f"changes by {expected:.6g} ({label} differs by {gap:.0%} along a random direction)",
            )
    kind = "float64" if exact else "float32"
    return CheckLine("gradient", "ok", f"within {worst:.1e} of differences of the loss ({checked} arrays, {kind})")


class _Differences:
    """Central differences of the loss of one training step."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        start: NDArray[np.float32],
        x: Any,  # noqa: ANN401
        y: NDArray[Any],
        steps: tuple[float, ...],
    ) -> None:
        self._model, self._start, self._x, self._y, self.steps = model, start, x, y, steps
        self.loss = self._at(start)

    def along(self, direction: NDArray[np.float32]) -> list[float]:
        """Return the slope along a direction of unit length, by each step."""
        slopes = []
        for step in self.steps:
            ahead = self._start + np.float32(step) * direction
            behind = self._start - np.float32(step) * direction
            length = float(np.linalg.norm(ahead.astype(np.float64) - behind))
            slopes.append((self._at(ahead) - self._at(behind)) / length)
        return slopes

    def gap(self, gradient: NDArray[np.float64], direction: NDArray[np.float32], largest: float, noise: float) -> float:
        """Return the relative difference of the gradient's slope, by the step that fits best; corners spoil others."""
        unit = direction / np.float32(np.linalg.norm(direction))
        expected = float(gradient @ unit[: gradient.size])
        gaps = [
            max(0.0, abs(slope - expected) - noise) / max(abs(slope), abs(expected), 0.1 * largest, 1e-6)
            for slope in self.along(unit)
        ]
        return min(gaps)

    def worst_coordinate(
        self, gradient: NDArray[np.float64], first: int, end: int, generator: np.random.Generator
    ) -> tuple[int, float]:
        """Return the coordinate of an array with the largest difference, and the loss's slope there."""
        count = min(_MOST_COORDINATES, end - first)
        tried = {first + int(np.abs(gradient[first:end]).argmax())}
        tried |= set((first + generator.choice(end - first, count, replace=False)).tolist())
        found = []
        for index in sorted(tried):
            unit = np.zeros(self._start.size, np.float32)
            unit[index] = 1
            slope = min(self.along(unit), key=lambda value: abs(value - gradient[index]))
            found.append((abs(slope - gradient[index]), index, slope))
        _, index, slope = max(found)
        return index, slope

    def _at(self, parameters: NDArray[np.float32]) -> float:
        self._model.begin_step(1, 0)
        loss: float = self._model.loss_and_gradient(parameters, self._x, self._y).loss
        return loss


def _in_float64(name: str, facts: Mapping[str, Any], start: NDArray[np.float32], x: Any, y: NDArray[Any]) -> Any:  # noqa: ANN401
    """Return the module computing in float64; None where it cannot, and for NumPy objects."""
    if not hasattr(_made(name, facts), "layout"):
        return None
    from training.model.torch_module import TorchModel  # noqa: PLC0415 - it has imported torch already

    def make(seed: int) -> Any:  # noqa: ANN401
        return made_from(name, load_own(name), {**facts, "seed": seed}).double()

    try:
        model = TorchModel(name, make, make(facts["seed"]), facts)
        model.begin_step(1, 0)
        model.loss_and_gradient(start, x, y)
    except InputError:
        return None
    return model


def _scores(model: Any, start: NDArray[np.float32], x: Any, y: NDArray[Any]) -> CheckLine:  # noqa: ANN401
    """Compare `evaluate` with `predict`, and with itself on parts of the rows."""
    whole, half = model.evaluate(start, x, y), len(y) // 2
    parts = [model.evaluate(start, x[rows], y[rows]).loss for rows in (slice(0, half), slice(half, None))]
    if not np.allclose(model.predict(start, x), whole.scores, rtol=1e-3, atol=1e-5):
        return CheckLine("scores", "failed", "predict and evaluate give different scores for the same rows")
    if not math.isclose(sum(parts), whole.loss, rel_tol=1e-3, abs_tol=1e-5):
        return CheckLine(
            "scores",
            "failed",
            f"the evaluated loss is no sum over rows: {whole.loss:.6g} for all rows, {sum(parts):.6g} for both halves",
        )
    return CheckLine("scores", "ok", f"{whole.scores.shape[1]} per row; the evaluated loss is a sum over rows")


def _ranks(name: str, facts: Mapping[str, Any], x: Any, y: NDArray[Any]) -> CheckLine:  # noqa: ANN401
    """Take steps as one rank on all rows, and as three ranks on a third each."""
    rows = len(y) // RANKS * RANKS
    alone = _train(name, facts, [x[:rows]], [y[:rows]])
    together = _train(
        name, facts, [x[rank:rows:RANKS] for rank in range(RANKS)], [y[rank:rows:RANKS] for rank in range(RANKS)]
    )
    if len({found.tobytes() for found in together}) > 1:
        return CheckLine("ranks", "failed", f"{RANKS} ranks end with different parameters")
    model, start = _made(name, facts), _made(name, facts).initial(facts["seed"])
    gap = float(np.linalg.norm(together[0] - alone[0])) / max(float(np.linalg.norm(alone[0] - start)), 1e-12)
    if gap <= SAME:
        return CheckLine("ranks", "ok", f"{RANKS} ranks end within {gap:.1e} of one rank after {STEPS} steps")
    reasons = _reasons(model, start, x, y)
    message = f"{RANKS} ranks end {gap:.1%} of the way from one rank after {STEPS} steps"
    if reasons:
        return CheckLine("ranks", "note", f"{message}: {' and '.join(reasons)}; all ranks have the same bits")
    index = int(np.abs(together[0] - alone[0]).argmax())
    return CheckLine(
        "ranks",
        "failed",
        f"{message}, most at {_where(model, index)}: the gradient is no sum over rows (a loss or a layer that looks at "
        "the whole batch?)",
    )


def _reasons(model: Any, start: NDArray[np.float32], x: Any, y: NDArray[Any]) -> list[str]:  # noqa: ANN401
    reasons = []
    gradients = []
    for rank in (0, 1):
        model.begin_step(1, rank)
        gradients.append(model.loss_and_gradient(start, x, y).gradient)
    if gradients[0].tobytes() != gradients[1].tobytes():
        reasons.append("dropout or noise is drawn for each rank")
    if getattr(model, "has_batch_statistics", False):
        reasons.append("batch normalisation looks at the batch of its rank")
    return reasons


def _train(name: str, facts: Mapping[str, Any], xs: list[Any], ys: list[NDArray[Any]]) -> list[NDArray[np.float32]]:
    """Take some steps of plain gradient descent, one rank for each part, over a channel in memory."""
    channel, world_size = MemoryChannel(), len(xs)

    def run(rank: int) -> NDArray[np.float32]:
        mailbox = Mailbox(channel, run_id="check", rank=rank, world_size=world_size)
        exchange = Exchange(mailbox, "reduce", join_timeout_s=600.0, round_timeout_s=600.0)
        exchange.start()
        model = _made(name, facts)
        parameters: NDArray[np.float32] = model.initial(facts["seed"])
        trained, averaged = sections_of(model, parameters)
        for step in range(1, STEPS + 1):
            exchange.begin_round(step)
            model.begin_step(step, rank)
            _, gradient, rows = model.loss_and_gradient(parameters, xs[rank], ys[rank])
            total = exchange.all_reduce(gradient, rows)
            change = total.values / np.float32(total.samples)
            change[:trained] *= np.float32(-0.05)
            parameters = parameters.copy()
            parameters[: trained + averaged] += change
        return parameters

    with ThreadPoolExecutor(world_size) as pool:
        return list(pool.map(run, range(world_size)))


def _slots(model: Any, size: int) -> list[tuple[str, int, int]]:  # noqa: ANN401
    """Return name, start and end of the trained arrays; evenly chosen ones where there are many."""
    layout = getattr(model, "layout", None)
    if layout is None:
        return [("the gradient", 0, size)]
    slots = [(slot.name, slot.start, slot.start + slot.size) for slot in layout.trained if slot.size]
    return slots if len(slots) <= _MOST_SLOTS else slots[:: math.ceil(len(slots) / _MOST_SLOTS)]


def _where(model: Any, index: int) -> str:  # noqa: ANN401
    layout = getattr(model, "layout", None)
    if layout is None:
        return f"index {index}"
    name, place = layout.slot_at(index)
    return f"{name}{list(place)}"


def made_rows(facts: Mapping[str, Any], rows: int) -> tuple[Any, NDArray[Any]]:
    """Return random rows with every class among them."""
    generator = np.random.default_rng(0)
    if facts.get("dataset_type") == "cifar10":
        x: Any = generator.integers(0, 256, (rows, facts["n_features"]), np.uint8)
    else:
        x = generator.normal(size=(rows, facts["n_features"])).astype(np.float32)
    if facts["task"] == "regression":
        return x, np.abs(generator.normal(size=rows)).astype(np.float32)
    return x, generator.permutation(np.arange(rows) % facts["n_classes"])


def main() -> None:
    """Carry out the request on standard input."""
    request = json.load(sys.stdin)
    facts = {"seed": 0, **request["facts"]}
    facts = facts_of(facts, facts["n_classes"])
    if request["rows_file"]:
        with np.load(request["rows_file"]) as arrays:
            x, y = arrays["x"], arrays["y"]
    else:
        x, y = made_rows(facts, request["rows"])
    sys.stdout.write("\n" + json.dumps(check(request["model"], facts, x, y)) + "\n")


if __name__ == "__main__":
    main()
