"""A model of the user's own is found and checked before anything is started."""

import importlib
import json

import pytest

from harness.errors import HarnessError
from harness.runs.model_function import function_of, trainer_of, with_function, with_models, with_own_model
from harness.runs.model_source import checksum_of, importable, pack_source, unpacked
from harness.runs.own_model import own_model
from harness.runs.prepared import prepare_run
from harness.runs.worker import worker_table
from harness.settings import FunctionSettings, load_settings
from training.errors import InputError, JobError
from training.job import Job, decode_job
from training.model.source import check_source, source_sha256

NUMPY_MODEL = "import numpy\n\n\nclass Net:\n    pass\n"
TORCH_MODEL = "from torch import nn\n\n\nclass Net(nn.Module):\n    pass\n"


@pytest.fixture
def settings(tmp_path):
    """A project with no harness.toml."""
    return load_settings(tmp_path)


def _written(path, text=NUMPY_MODEL):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_file_outside_of_the_project_has_a_function_of_its_own(tmp_path, settings):
    """The function is the worker's with the file; a model with PyTorch extends the other worker."""
    plain = function_of(own_model(f"{_written(tmp_path / 'far' / 'my_model.py')}:Net", settings), settings)
    neural = function_of(own_model("net.py:Net", settings, _written(tmp_path / "net.py", TORCH_MODEL).parent), settings)
    assert ("linear_ec_2_my_model_net", "my_model:Net") == (plain.name, plain.model.job_name)
    assert tmp_path / "far" / "my_model.py" == plain.settings.include[-1]
    assert 1769 == plain.settings.memory_mb
    assert ("linear_ec_2_nn_net_net", 3008) == (neural.name, neural.settings.memory_mb)
    assert neural.settings.requirements[-1].endswith("torch.txt")


def test_a_file_in_a_package_travels_with_the_package(tmp_path, settings):
    """The module's name is dotted, and what is packed is the outermost package."""
    _written(tmp_path / "pkg" / "__init__.py", "")
    _written(tmp_path / "pkg" / "inner" / "__init__.py", "from .nets import Net\n")
    file = _written(tmp_path / "pkg" / "inner" / "nets.py")
    model = own_model(f"{file}:Net", settings)
    assert ("pkg.inner.nets:Net", tmp_path / "pkg") == (model.job_name, model.path)
    assert "pkg.inner:Net" == own_model("pkg/inner:Net", settings, tmp_path).job_name
    assert "pkg.inner.nets:Net" == own_model("pkg.inner.nets:Net", settings, tmp_path).job_name


def test_requirements_stand_in_the_file_or_in_the_table(tmp_path, settings):
    """A PyTorch that the model names itself replaces the worker's, and is found without an import."""
    block = '# /// script\n# dependencies = ["einops==0.8.1", "torch==2.9.0"]\n# ///\n'
    model = own_model(f"{_written(tmp_path / 'm.py', block + NUMPY_MODEL)}:Net", settings)
    assert {"einops", "torch"} == model.packages
    function = function_of(model, settings)
    assert ("linear_ec_2_nn_m_net", 3008) == (function.name, function.settings.memory_mb)
    assert ["worker.txt", "m.py"] == [name.rpartition("/")[2] for name in function.settings.requirements]


def test_a_table_of_harness_toml_names_a_model(tmp_path):
    """Its paths are from the file's folder, and what it sets reaches the function."""
    _written(tmp_path / "models" / "fraud.py")
    _written(tmp_path / "models" / "fraud.txt", "einops\n")
    _written(
        tmp_path / "harness.toml",
        '[models.fraud]\npath = "models/fraud.py"\nname = "Net"\nrequirements = "models/fraud.txt"\nmemory_mb = 4096\n',
    )
    settings = load_settings(tmp_path)
    event, function = with_own_model({"model": "fraud", "lr": 0.1}, settings)
    assert {"model": "fraud:Net", "worker_function": "linear_ec_2_fraud", "lr": 0.1} == event
    assert 4096 == function.settings.memory_mb
    assert str(tmp_path / "models" / "fraud.txt") == function.settings.requirements[-1]
    assert "linear_ec_2_fraud" in with_models(settings).functions
    assert "fraud:Net" == trainer_of("linear_ec_2_fraud", settings).model.job_name


@pytest.mark.parametrize("label", ["x" * 40, "nn"])
def test_names_of_functions_suit_lambda(tmp_path, label):
    """A long name keeps 64 characters, and no model takes the name of a worker."""
    _written(tmp_path / "harness.toml", f'[models.{label}]\npath = "{"y" * 40}.py"\nname = "Net"\n')
    _written(tmp_path / f"{'y' * 40}.py")
    settings = load_settings(tmp_path)
    names = {function_of(own_model(text, settings, tmp_path), settings).name for text in (label, f"{'y' * 40}:Net")}
    assert all(len(name) <= 64 and name not in ("linear_ec_2", "linear_ec_2_nn") for name in names)
    assert 2 == len(names)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nowhere.py:Net", "there is no file nowhere.py"),
        ("my_model.py:Nett", "has no Nett.*\n.*it defines Net.*\n.*did you mean Net"),
        ("my_model.py:", "names no class"),
        ("mplp", "there is no model mplp.*\n.*built in are lr.*\n.*did you mean mlp"),
        ("broken.py:Net", r"broken.py is not Python: line 1"),
        ("numbers.csv:Net", "is not a Python file"),
        ("empty:Net", "without `__init__.py`"),
        ("my-model.py:Net", "`my-model` cannot be imported"),
        ("training.py:Net", "a module `training` of its own"),
        ("linear_ec_2.py:Net", "a module `linear_ec_2` of its own"),
        ("boto3/__init__.py:Net", "a module `boto3` of its own"),
        ("json.py:Net", "a module `json` of its own"),
        ("numpy.py:Net", "a module `numpy` of its own"),
    ],
)
def test_a_wrong_model_is_refused_before_anything_starts(tmp_path, settings, text, said):
    """The message names the file and what to do."""
    for name in ("my_model.py", "my-model.py", "training.py", "linear_ec_2.py", "json.py", "numpy.py", "numbers.csv"):
        _written(tmp_path / name)
    _written(tmp_path / "boto3" / "__init__.py")
    _written(tmp_path / "broken.py", "class Net(\n")
    (tmp_path / "empty").mkdir()
    with pytest.raises(HarnessError, match=said):
        own_model(text, settings, tmp_path)


def test_a_job_file_names_the_model_as_the_command_line_does(tmp_path, monkeypatch):
    """A path is from the working directory, and a job that was saved can be run again."""
    monkeypatch.chdir(_written(tmp_path / "my_model.py").parent)
    for model in ("my_model.py:Net", "my_model:Net"):
        (tmp_path / "job.json").write_text(json.dumps({"model": model, "optim": "grad_avg"}))
        run = prepare_run(None, tmp_path / "job.json", {})
        assert ("my_model:Net", "linear_ec_2_my_model_net") == (run.job.model, run.job.worker_function)
        assert checksum_of(run.source, "my_model") == run.job.model_sha256


def test_a_function_that_the_user_declares_trains_the_model(tmp_path, settings):
    """Nothing is built for a job that names a declared function; a name that nobody declares is refused."""
    declared = {**settings.functions, "mine": FunctionSettings(tmp_path, "app.handler")}
    event = {"model": "my_model:Net", "worker_function": "mine"}
    settings = with_function(settings, function_of(_model(tmp_path, settings), settings))
    settings.functions.update(declared)
    assert (event, None) == with_own_model(event, settings)
    with pytest.raises(HarnessError, match="worker_function is theirs, which harness"):
        with_own_model({"model": f"{tmp_path}/my_model.py:Net", "worker_function": "theirs"}, settings)


def _model(tmp_path, settings):
    return own_model(f"{_written(tmp_path / 'my_model.py')}:Net", settings)


def test_the_source_is_imported_from_its_archive(tmp_path, settings):
    """The zip has the checksum that a worker computes of its package, and hides a module of the same name."""
    _written(tmp_path / "own_package_here" / "__init__.py", "from .net import Net\n")
    _written(tmp_path / "own_package_here" / "net.py", "class Net:\n    value = 1\n")
    model = own_model("own_package_here:Net", settings, tmp_path)
    archive = pack_source(model)
    expected = source_sha256(model.path)
    assert expected == checksum_of(archive, model.module)
    _written(tmp_path / "own_package_here" / "net.py", "class Net:\n    value = 2\n")
    assert source_sha256(model.path) != expected
    with unpacked(archive, "here") as folder, importable(folder, model.module):
        assert 1 == importlib.import_module(model.module).Net.value
    with unpacked(pack_source(model), "here") as folder, importable(folder, model.module):
        assert 2 == importlib.import_module(model.module).Net.value


def test_a_worker_with_another_source_stops_the_run(tmp_path, settings):
    """A rank that comes back after an update of its function would compute something else."""
    _written(tmp_path / "own_source_here.py")
    model = own_model("own_source_here.py:Net", settings, tmp_path)
    expected = checksum_of(pack_source(model), model.module)
    with importable(tmp_path, model.module):
        check_source(model.job_name, expected)
        _written(tmp_path / "own_source_here.py", NUMPY_MODEL + "# updated\n")
        with pytest.raises(InputError, match=r"has another own_source_here.py .* it was updated since"):
            check_source(model.job_name, expected)
    with pytest.raises(InputError, match="package has no module own_source_here"):
        check_source(model.job_name, expected)


def test_a_forecast_knows_the_memory_of_a_worker_that_is_declared_nowhere(settings):
    """That of the worker which the model extends."""
    job = {"model": "my_model:Net", "n_features": 3, "n_workers": 1, "host": "h", "data_bucket": "bucket"}
    named = ("linear_ec_2_my_model_net", "linear_ec_2_nn_my_model_net")
    jobs = [decode_job({**job, "worker_function": name}, Job) for name in named]
    assert [1769, 3008] == [worker_table(settings, each).memory_mb for each in jobs]


@pytest.mark.parametrize("model", [5, ["mlp"], None])
def test_a_model_that_is_no_text_is_refused_by_the_jobs_check(tmp_path, model):
    """As any other value of a wrong type."""
    (tmp_path / "job.json").write_text(json.dumps({"model": model}))
    with pytest.raises(JobError, match="job field `model`"):
        prepare_run(None, tmp_path / "job.json", {})
