"""Checkpoints: named last, checked when read, the two newest kept."""

import numpy as np
import pytest

from tests.support.checkpoints import checkpoints_of
from training.algorithm.epochs import EpochReport, State
from training.data.manifest import Partition
from training.errors import DamagedFrame, InputError
from training.exchange.packing import pack_state, unpack_state
from training.run.results import RunFolder


@pytest.fixture
def folder(s3):
    """An empty run folder."""
    s3.create_bucket(Bucket="bucket")
    return RunFolder(s3, "bucket", "run")


def test_a_state_comes_out_as_it_went_in():
    """Arrays keep every bit, reports every field."""
    report = EpochReport(epoch=1, rounds=3, seconds=0.5, loss=0.25, accuracy=None, validation=None)
    state = State(round=3, parameters=np.array([1.5, -0.0, np.pi], np.float32), epochs=[report], finished=True)

    read = unpack_state(State, pack_state(state), "a state")

    assert state.parameters.tobytes() == read.parameters.tobytes()
    assert (3, [report], True) == (read.round, read.epochs, read.finished)


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b[:3], lambda b: b"X" + b[1:], lambda b: b[:-1] + b"!"])
def test_a_changed_state_is_refused(change):
    """Truncated or altered anywhere, it is refused by the field that tells."""
    buffer = pack_state(State(parameters=np.ones(3, np.float32)))

    with pytest.raises(DamagedFrame, match=r"a state: (length|magic|checksum) is"):
        unpack_state(State, change(buffer), "a state")


def test_a_state_of_another_kind_is_refused():
    """A sound buffer that holds something else is refused with the field."""
    with pytest.raises(DamagedFrame, match=r"a state is no State: .*parameters"):
        unpack_state(State, pack_state({"round": 1}), "a state")


def test_what_is_saved_is_loaded(folder):
    """Every rank gets the shared part and its own."""
    checkpoints_of(folder, rank=1).save(7, b"shared", b"own of 1")
    assert 0 == checkpoints_of(folder).newest()
    checkpoints_of(folder, rank=0).save(7, b"shared", b"own of 0")

    assert 7 == checkpoints_of(folder).newest()
    assert [(b"shared", b"own of 0"), (b"shared", b"own of 1")] == [
        checkpoints_of(folder, rank=r).load(7) for r in (0, 1)
    ]


def test_the_two_newest_are_kept(folder):
    """Older ones go, name and parts."""
    for number in (3, 20, 100):
        checkpoints_of(folder).save(number, b"state", None)

    kept = {name.removeprefix("checkpoint/") for name in folder.names("checkpoint/")}
    assert {"20.json", "20/shared", "100.json", "100/shared"} == kept


def test_without_its_name_it_does_not_count(folder):
    """Parts of a checkpoint whose writer died are no checkpoint."""
    checkpoints_of(folder).save(3, b"state", None)
    folder.write("checkpoint/9/shared", b"half")

    assert 3 == checkpoints_of(folder).newest()


def test_a_checkpoint_of_another_job_is_refused(folder):
    """The first field that differs is named, with both values."""
    checkpoints_of(folder).save(3, b"state", None)

    with pytest.raises(InputError, match=r"checkpoint/3.json is of another job: lr is 0\.1, expected 0\.5"):
        checkpoints_of(folder, lr=0.5).load(3)


def test_where_the_cache_is_does_not_make_it_another_job(folder):
    """A link may find the cache elsewhere, and wait longer."""
    checkpoints_of(folder).save(3, b"state", None)

    assert b"state" == checkpoints_of(folder, host="other", link=4, round_timeout_s=5.0).load(3)[0]


def test_what_differs_between_ranks_and_tries_does_not_make_it_another_job(folder):
    """Each rank has a partition of the test set, too; a revived one knows which lease stood still."""
    test = {"test_bucket": "tests", "test_prefix": "t/"}
    checkpoints_of(folder, test_expected=Partition(5, "0" * 32), **test).save(4, b"shared", None)

    other = {"test_expected": Partition(6, "1" * 32), "revival": 1, "stood_still": "95", **test}
    assert b"shared" == checkpoints_of(folder, rank=1, **other).load(4)[0]


def test_a_truncated_checkpoint_is_refused(folder):
    """Its checksum is compared with the one in its name."""
    checkpoints_of(folder).save(3, b"state", None)
    folder.write("checkpoint/3/shared", b"stat")

    with pytest.raises(DamagedFrame, match=r"checkpoint/3/shared: sha256 is .*, expected"):
        checkpoints_of(folder).load(3)
