"""The source of a user's own model beside its run: imported if it is that of the model, and the user can trust it."""

import msgspec
import pytest

from harness.errors import HarnessError
from harness.runs.model_source import SOURCE_OBJECT, checksum_of, pack_source
from harness.runs.own_model import own_model
from harness.runs.own_source import source_of_run
from harness.settings import load_settings
from tests.support.own_models import softmax_file
from training.run.results import JobRecord, RunFolder

BUCKET, RUN, MODEL = "results", "a-run", "softmax_model:Softmax"


@pytest.fixture
def archive(tmp_path):
    """The zip with the source of a model in a file."""
    return pack_source(own_model(f"{softmax_file(tmp_path)}:Softmax", load_settings(tmp_path)))


@pytest.fixture
def stored(s3, archive):
    """Store what a run of the model leaves in its folder."""
    s3.create_bucket(Bucket=BUCKET)
    job = {"model": MODEL, "model_sha256": checksum_of(archive, "softmax_model")}
    folder = RunFolder(s3, BUCKET, RUN)
    folder.write("job.json", msgspec.json.encode(JobRecord("a-request", job)))
    folder.write(SOURCE_OBJECT, archive)
    return folder


@pytest.mark.usefixtures("stored")
def test_a_run_on_this_machine_brings_its_source(s3, archive):
    """A model of the catalogue has none."""
    assert archive == source_of_run(RunFolder(s3, BUCKET, RUN), MODEL)
    assert b"" == source_of_run(RunFolder(s3, BUCKET, RUN), "lr")


@pytest.mark.usefixtures("stored")
def test_a_shared_bucket_imports_nothing_unless_the_user_names_the_file(s3, archive):
    """The file is compared with the one that was trained."""
    with pytest.raises(HarnessError, match="whoever may write into its bucket can change its code"):
        source_of_run(RunFolder(s3, BUCKET, RUN), MODEL, shared=True)
    assert archive == source_of_run(RunFolder(s3, BUCKET, RUN), MODEL, archive, shared=True)


@pytest.mark.usefixtures("stored")
def test_a_model_file_of_another_module_imports_nothing(s3):
    """Its name in the model file would decide which module of this machine is imported."""
    with pytest.raises(HarnessError, match="stored parameters of os:system"):
        source_of_run(RunFolder(s3, BUCKET, RUN), "os:system")


def test_a_changed_source_is_refused(s3, stored, tmp_path):
    """Its checksum is in the job."""
    file = softmax_file(tmp_path)
    file.write_text(file.read_text() + "# changed\n")
    stored.write(SOURCE_OBJECT, pack_source(own_model(f"{file}:Softmax", load_settings(tmp_path))))

    with pytest.raises(HarnessError, match=f"the source is not that of run {RUN}"):
        source_of_run(RunFolder(s3, BUCKET, RUN), MODEL)
