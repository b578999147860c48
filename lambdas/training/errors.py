"""Every error that the training library raises on purpose, by what the caller should do about it.

TrainingError
 +-- InputError               fix the job or the data, then run again
 |    +-- JobError            one field of the event
 |    +-- CodeChanged         the function was updated since the run began
 +-- ExchangeError            the peers, or the channel between them
      +-- ChannelError        the channel is not reachable or refused a store
      |    +-- ValueTooLarge  a value exceeds the channel's limit; a retry does not help
      |    +-- ChannelSilent  the channel accepts connections and does not answer: it is stopped or overloaded
      +-- FrameError          a value in the channel is not the expected frame
      |    +-- DamagedFrame   the frame is truncated, or its checksum is wrong
      +-- ImpossibleValue     no rank of this run can have written this value in the channel
      +-- RanksMissing        a deadline passed without the parts of these ranks
      +-- RunAborted          the run was aborted; carries the cause
      +-- StateLost           a rank's private state was lost with the cache again and again
      +-- DuplicateDelivery   another attempt works for this rank, or the run is over; this one writes nothing more
"""

from collections.abc import Sequence


class TrainingError(Exception):
    """Base of all errors that the training library raises on purpose."""


class InputError(TrainingError):
    """The job or its data is wrong; running again without a change fails again."""


class JobError(InputError):
    """One field of the event is wrong.

    Args:
        field: The event's key.
        value: Its value.
        allowed: The allowed values, as a short phrase.
    """

    def __init__(self, field: str, value: object, allowed: str) -> None:
        self.field, self.value, self.allowed = field, value, allowed
        super().__init__(f"job field `{field}` is {value!r}; allowed: {allowed}")

    def __reduce__(self) -> tuple[type["JobError"], tuple[str, object, str]]:
        return type(self), (self.field, self.value, self.allowed)


class CodeChanged(InputError):
    """This rank has other code than the run began with, and would compute other bits."""


class ExchangeError(TrainingError):
    """The exchange among the ranks failed."""


class ChannelError(ExchangeError):
    """The channel is not reachable or refused a store."""


class ValueTooLarge(ChannelError):
    """The channel refused a value for its size."""


class ChannelSilent(ChannelError):
    """The channel accepted a connection and sent no answer in time: the address is right, so waiting may help."""


class FrameError(ExchangeError):
    """A value in the channel is not the expected frame."""


class DamagedFrame(FrameError):
    """A frame was truncated or changed on the way; its sender can republish it."""


class ImpossibleValue(ExchangeError):
    """No rank of this run can have written this value in the channel: another program writes to the cache.

    Args:
        key: The key of the value.
        what: The reason why it is impossible, and what is allowed.
        writer: The writer that the value names, for example `rank 3, attempt 1`; empty if it names none.
    """

    def __init__(self, key: str, what: str, writer: str = "") -> None:
        self.key, self.what, self.writer = key, what, writer
        claimed = f", written as {writer}" if writer else ""
        super().__init__(f"{key}{claimed}: {what}; no rank of this run can have written it")

    def __reduce__(self) -> tuple[type["ImpossibleValue"], tuple[str, str, str]]:
        return type(self), (self.key, self.what, self.writer)


class RanksMissing(ExchangeError):
    """A wait reached its deadline while parts of these ranks were missing.

    Args:
        run_id: The run.
        round_number: The round of the wait.
        step: The step within the round.
        missing: The ranks whose parts did not arrive, ascending.
        waited_s: Seconds waited.
        hint: A possible cause; empty for none.
    """

    def __init__(
        self, run_id: str, round_number: int, step: int, missing: Sequence[int], waited_s: float, hint: str = ""
    ) -> None:
        self.run_id, self.round_number, self.step = run_id, round_number, step
        self.missing, self.waited_s, self.hint = tuple(missing), waited_s, hint
        ranks = ", ".join(map(str, missing))
        super().__init__(
            f"run {run_id}, round {round_number}, step {step}: nothing from rank {ranks} within {waited_s:.1f} s"
            + (f"; {hint}" if hint else "")
        )

    def __reduce__(self) -> tuple[type["RanksMissing"], tuple[str, int, int, tuple[int, ...], float, str]]:
        return type(self), (self.run_id, self.round_number, self.step, self.missing, self.waited_s, self.hint)


class RunAborted(ExchangeError):
    """The run was aborted, by another rank or from outside; the message is the cause."""


class StateLost(ExchangeError):
    """A rank's private state (ADMM's dual) was lost with the rank and the cache, more often than all ranks go back."""


class DuplicateDelivery(ExchangeError):
    """Another delivery of this rank's event has its lease, or the run is over; this one writes nothing more."""
