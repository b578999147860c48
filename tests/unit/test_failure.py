"""A worker's error: whether Lambda's next try may succeed decides whether the run is stopped."""

import pytest

from training.errors import (
    ChannelError,
    ChannelSilent,
    ImpossibleValue,
    InputError,
    JobError,
    RanksMissing,
    RunAborted,
    ValueTooLarge,
)
from training.run.failure import may_pass
from training.run.invoking import InvokeError
from training.run.results import AbsentError, StorageError


@pytest.mark.parametrize(
    "error",
    [
        ChannelError("down"),
        ChannelSilent("stopped"),
        StorageError("503"),
        InvokeError("429"),
        OSError(28, "disk full"),
        MemoryError(),
    ],
)
def test_an_error_of_the_environment_may_pass(error):
    """The cache, S3, Lambda and this machine may be well again in Lambda's next try."""
    assert may_pass(error)


@pytest.mark.parametrize(
    "error",
    [
        InputError("bad rows"),
        JobError("lr", -1, "a number above 0"),
        AbsentError("no bucket"),
        ValueTooLarge("1 GB"),
        ImpossibleValue("key", "a cause of 1 MB"),
        RanksMissing("run", 1, 0, [2], 180.0),
        RunAborted("rank 1: bad rows"),
        ZeroDivisionError("a bug"),
    ],
)
def test_an_error_of_the_job_does_not_pass(error):
    """The job, its data, a peer's deadline and our own bugs are the same in the next try."""
    assert not may_pass(error)
