"""The code of a run: what counts as a change, and who may join."""

import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import boto3
import pytest
from botocore.awsrequest import AWSResponse

import training
from training.errors import CodeChanged, InputError
from training.run.code import RECORD, RunCode, check_code, code_in, own_code
from training.run.failure import may_pass
from training.run.results import RunFolder

OWN, OTHER = RunCode("a" * 64, "3.11.2", "2.1.0"), RunCode("b" * 64, "3.11.2", "2.1.0")


@pytest.fixture(scope="module")
def s3(s3_endpoint, s3_key):
    """A client of S3, with a bucket `code`."""
    client = boto3.Session(s3_key, "test", region_name="us-east-1").client("s3", endpoint_url=s3_endpoint)
    client.create_bucket(Bucket="code-of-runs")
    return client


@pytest.fixture
def folder(s3):
    """The folder of a new run."""
    return RunFolder(s3, "code-of-runs", uuid.uuid4().hex)


def test_ranks_with_the_code_of_the_first_one_join(folder):
    """Whether their listing of the folder has the record yet or not."""
    check_code(folder, [], OWN)
    check_code(folder, [], OWN)
    check_code(folder, [RECORD], OWN)

    assert OWN == folder.read_as(RECORD, RunCode)


class Body(BytesIO):
    """The body of an answer as botocore reads it."""

    def stream(self):
        """All of it."""
        yield self.read()


def test_ranks_that_write_at_the_same_moment_try_again(s3, folder):
    """S3 answers 409 to a write that meets another one under the same key, and leaves open which of them is stored."""
    conflicts = []

    def conflict(request, **_):
        if len(conflicts) == 2:
            return None
        conflicts.append(request.url)
        return AWSResponse(request.url, 409, {}, Body(b"<Error><Code>ConditionalRequestConflict</Code></Error>"))

    s3.meta.events.register("before-send.s3.PutObject", conflict)
    try:
        check_code(folder, [], OWN)
    finally:
        s3.meta.events.unregister("before-send.s3.PutObject", conflict)

    assert 2 == len(conflicts)
    assert OWN == folder.read_as(RECORD, RunCode)


@pytest.mark.parametrize("other", [OTHER, RunCode("a" * 64, "3.12.1", "2.1.0"), RunCode("a" * 64, "3.11.2", "2.2.0")])
def test_a_rank_with_other_code_is_refused_for_good(folder, other):
    """The error says what it has and what the run has; no retry could help."""
    check_code(folder, [], OWN)

    with pytest.raises(CodeChanged, match=r"code \(sha256 .* is not what the run began with \(sha256 aaaaaaaaaaaa"):
        check_code(folder, [], other)
    with pytest.raises(CodeChanged, match="Start the run again") as refusal:
        check_code(folder, [RECORD], other)
    assert not may_pass(refusal.value)
    assert OWN == folder.read_as(RECORD, RunCode)


def test_of_ranks_that_join_at_once_one_code_goes_on(folder):
    """Also when half of them have another one."""

    def joins(own):
        try:
            check_code(folder, [], own)
        except CodeChanged:
            return None
        return own

    with ThreadPoolExecutor(8) as pool:
        joined = set(pool.map(joins, [OWN, OTHER] * 4)) - {None}

    assert joined == {folder.read_as(RECORD, RunCode)}


def test_a_record_that_no_rank_has_written_is_named(folder):
    """Another program writes to the bucket."""
    folder.write(RECORD, b"[]")

    with pytest.raises(InputError, match=r"code\.json is not what a worker stores there"):
        check_code(folder, [RECORD], OWN)


def test_every_file_of_the_library_and_beside_it_counts(tmp_path):
    """Compiled code does not, nor does what else is in the package."""
    library = Path(training.__file__).parent
    shutil.copytree(library, tmp_path / "training")
    (tmp_path / "linear_ec_2.py").write_text("first = 1\n")
    before = code_in(tmp_path)
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "version.py").write_text("1")
    (tmp_path / "training" / "__pycache__").mkdir(exist_ok=True)
    (tmp_path / "training" / "__pycache__" / "job.cpython-311.pyc").write_bytes(b"x")

    assert before == code_in(tmp_path)
    (tmp_path / "linear_ec_2.py").write_text("first = 2\n")
    changed = code_in(tmp_path)
    (tmp_path / "training" / "run" / "code.py").write_text("")
    assert 3 == len({before, changed, code_in(tmp_path)})
    assert own_code() == code_in(library.parent)
