"""docs/how-to-add.md: its files exist, and the code keeps to its lists."""

import ast
import re
from pathlib import Path

import pytest

import harness.gateway.api.resources  # noqa: F401 - registers the operations
from harness.cli.main import VERBS
from harness.emulation.resources import table
from harness.faults.plan import CATALOGUE
from harness.gateway.api.operations import OPERATIONS
from training.model.catalogue import MODELS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to-add.md").read_text()
SECTIONS: dict[str, str] = dict(re.findall(r"^## (.+?)\n(.+?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def listed(section: str) -> list[str]:
    """The files in the table of a section."""
    return re.findall(r"^\| `([^`]+)` \|", SECTIONS[section], re.MULTILINE)


def is_listed(path: Path, section: str) -> bool:
    """Whether a section has this file, or a file of its kind."""
    return any(path.relative_to(ROOT).match(name.replace("NAME", "*")) for name in listed(section))


def literals(path: Path) -> set[object]:
    """The constants in a module."""
    return {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}


def imports(path: Path) -> set[str]:
    """The modules from which a module imports something."""
    return set(re.findall(r"^ *from ([\w.]+) import", path.read_text(), re.MULTILINE))


@pytest.mark.parametrize("section", SECTIONS)
def test_every_file_of_a_list_exists(section: str):
    """Files by their path; where a name is to be filled in, at least one file of that kind."""
    missing = [name for name in listed(section) if not list(ROOT.glob(name.replace("NAME", "*")))]

    assert len(listed(section)) > 1
    assert missing == []


@pytest.mark.parametrize("path", re.findall(r"`((?:harness|lambdas|tests|fixtures|docs|requirements)/[^`]+)`", PAGE))
def test_every_file_in_the_text_exists(path: str):
    """The same for files that the text mentions."""
    assert list(ROOT.glob(path.replace("NAME", "*")))


def channels() -> dict[str, str]:
    """The classes of the channels and their modules, without the protocol and the wrapper that retries."""
    folder = ROOT / "lambdas/training/exchange/channel"
    return {
        node.name: f"training.exchange.channel.{path.stem}"
        for path in folder.glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and node.name.endswith("Channel")
        if node.name not in {"Channel", "RetryingChannel"}
    }


def test_a_channel_is_opened_only_where_the_list_says():
    """No other module of the Lambdas or the harness knows one channel from another."""
    modules = set(channels().values())
    users = [
        path
        for folder in ("lambdas", "harness")
        for path in (ROOT / folder).rglob("*.py")
        if modules & imports(path) and path.parent.name != "channel"
    ]

    assert [path for path in users if not is_listed(path, "A channel")] == []


def test_every_channel_passes_the_suite():
    """Each channel is a parameter of tests/integration/test_channel.py."""
    suite = (ROOT / "tests/integration/test_channel.py").read_text()

    assert len(channels()) > 1
    assert [name for name in channels() if f"{name}(" not in suite] == []


def test_every_operation_is_answered_in_a_file_of_the_list():
    """Each registered operation is a class of that name in a file of `harness/gateway/api`."""
    folder = ROOT / "harness/gateway/api"
    defined = {
        node.name
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }

    assert len(OPERATIONS) > 20
    assert defined >= OPERATIONS.keys()
    assert "harness/gateway/api/NAME.py" in listed("A Lambda operation")


def test_every_model_is_in_a_file_of_the_list():
    """Each maker's module and its test have the names that the list gives them."""
    modules = {row.maker.partition(".")[0] for row in MODELS.values() if row.maker} | {"kmeans"}

    for module in modules:
        assert is_listed(ROOT / f"lambdas/training/model/{module}.py", "A model")
        assert list(ROOT.glob(f"tests/*/test_{module}.py"))


def test_no_other_module_of_the_lambdas_chooses_by_a_models_name():
    """Beside the catalogue, the Lambdas name a model only as a default of the job."""
    folder = ROOT / "lambdas"
    exceptions = {
        "lambdas/training/job.py",  # `lr` is the default model
        "lambdas/training/matrix.py",  # `lr` is also the key of the learning rate
        "lambdas/training/model/own.py",  # as in matrix.py
        "lambdas/training/model/neural.py",  # its two networks in the text of an error
    }
    naming = {
        str(path.relative_to(ROOT))
        for path in folder.rglob("*.py")
        if literals(path) & MODELS.keys() and path.name != "catalogue.py"
    }

    assert naming <= exceptions


def test_verbs_are_the_modules_with_a_command():
    """A module of `harness/cli` with a `command` is a verb, and every verb is one."""
    found = {
        path.stem
        for path in (ROOT / "harness/cli").glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == "command"
    }

    assert found == set(VERBS)


def test_every_verb_is_documented():
    """A page shows each verb at work."""
    pages = "\n".join(page.read_text() for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])

    assert [verb for verb in VERBS if f"harness {verb}" not in pages] == []


def test_every_resource_type_of_the_template_is_emulated_and_priced():
    """The template's types are in files of the list: handlers, and prices."""
    template = (ROOT / "harness/deploy/template.yaml").read_text()
    types = set(re.findall(r"^ +Type: (AWS::\w+::\w+)$", template, re.MULTILINE))

    assert len(types) > 10
    assert types - table.TYPES.keys() == set()
    prices = literals(ROOT / "harness/deploy/prices.py")
    assert types - prices == set()


def test_every_handler_is_in_the_table():
    """Each module with `HANDLERS` is part of the table."""
    folder = ROOT / "harness/emulation/resources"
    modules = {path.stem for path in folder.glob("*.py") if re.search(r"^HANDLERS\b", path.read_text(), re.MULTILINE)}

    assert modules
    assert [name for name in modules if f"{name}.HANDLERS" not in (folder / "table.py").read_text()] == []


def test_every_fault_is_injected_in_a_file_of_the_list():
    """Each action of the catalogue is named in the file that the list gives for its target."""
    injecting = {
        "memcached": {"harness/network/memcached_proxy.py", "harness/network/lines.py"},
        "s3": {"harness/network/s3_proxy.py", "harness/network/lines.py"},
        "worker": {"harness/gateway/faults.py", "harness/network/memcached_proxy.py"},
        "coordinator": {"harness/gateway/faults.py"},
        "gateway": {"harness/network/memcached_proxy.py", "harness/gateway/faults.py"},
        "zone": {"harness/network/memcached_proxy.py", "harness/gateway/faults.py"},
    }
    assert set().union(*injecting.values()) <= set(listed("A fault"))

    missing = [
        (action, target)
        for action, target in CATALOGUE
        if not any(re.search(rf"\b{action}\b", (ROOT / path).read_text()) for path in injecting[target])
    ]

    assert missing == []


def test_contributing_points_to_files_that_exist():
    """Each path in CONTRIBUTING.md is a file or a folder, and its example of an operation is one."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = re.findall(r"`((?:harness|lambdas|tests|fixtures|docs|requirements|benchmarks)/[^`*]+)`", text)

    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []
    (example,) = re.findall(r"^\| an operation of the Lambda API \| `(.+)` \|$", text, re.MULTILINE)
    assert "class ListTags(Input)" in (ROOT / example).read_text()
