"""The runtime as a function sees it: modules, programs, sockets and paths are as on AWS."""

import re
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import httpx
import pytest

from harness.gateway.isolation.view import Namespaces, permitted
from harness.settings import load_settings
from harness.stack import start_private_stack
from tests.support.gateway import Service

# The runtime or Python itself has imported these before AWS puts the function's folder into `sys.path`.
STANDARD = (
    *("abc", "base64", "codecs", "collections", "contextlib", "datetime", "decimal", "enum", "functools", "importlib"),
    *("io", "json", "keyword", "logging", "math", "numbers", "operator", "os", "re", "reprlib", "stat", "string"),
    *("textwrap", "threading", "time", "token", "tokenize", "traceback", "types", "warnings", "weakref"),
)
# The runtime imports these never, or only after an error.
OTHERS = (
    *("calendar", "code", "copy", "email", "harness", "parser", "queue", "random", "secrets", "select", "statistics"),
    *("training", "utils"),
)

SHADOWED = """
import json, logging, random, string, sys
def handler(event, context):
    return [hasattr(json, "dumps"), hasattr(logging, "getLogger"), hasattr(string, "digits"), random.own]
"""

LOOK = """
import multiprocessing, os, shutil, socket, subprocess, sys, tempfile
from multiprocessing.connection import Listener

def put(shared):
    shared["x"] = 1

def manager():
    with multiprocessing.Manager() as manager:
        shared = manager.dict()
        process = multiprocessing.Process(target=put, args=(shared,))
        process.start()
        process.join()
        return dict(shared)

def forkserver():
    process = multiprocessing.get_context("forkserver").Process(target=put, args=({},))
    process.start()
    process.join()
    return process.exitcode

def listener():
    with Listener() as listener:
        return os.path.exists(listener.address)

def own_socket():
    path = os.path.join(tempfile.mkdtemp(), "a socket with a rather long name")
    socket.socket(socket.AF_UNIX).bind(path)
    return os.path.exists(path)

def python():
    script = "import boto3, sys; print(sys.executable)"
    said = subprocess.run(["python3", "-c", script], stdout=subprocess.PIPE, text=True).stdout
    return shutil.which("python3").startswith(os.environ["PATH"].partition(":")[0]) and said.strip() == sys.executable

def folder():
    return [oct(os.stat(tempfile.gettempdir()).st_mode & 0o777), os.listdir(tempfile.gettempdir())]

def handler(event, context):
    return globals()[event["look"]]()
"""


@pytest.fixture(params=["forked", "fresh"])
def service(request: pytest.FixtureRequest) -> Service:
    """Provide both gateways, one after the other."""
    gateway: Service = request.getfixturevalue(request.param)
    return gateway


@pytest.fixture(scope="module", params=["forked", "fresh"])
def looking(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Service, str]:
    """Provide a function that inspects its environment, on both gateways."""
    gateway: Service = request.getfixturevalue(request.param)
    folder = tmp_path_factory.mktemp("look")
    (folder / "looking.py").write_text(LOOK)
    return gateway, gateway.create(folder, "looking.handler")


def test_modules_named_as_the_standard_librarys_do_not_disturb_the_runtime(service, write):
    """A function with dozens of such modules starts and answers, and none of them is imported."""
    for name in (*STANDARD, *OTHERS):
        write(name, f"raise ImportError('the function has a {name} of its own')")
    source = write("app", "def handler(event, context):\n    return event")

    assert {"a": [1.5]} == service.invoke(service.create(source, "app.handler"), {"a": [1.5]})


def test_a_function_finds_the_runtimes_modules_before_its_own(service, write):
    """Modules that the runtime has imported are the standard library's; all others are the function's own."""
    for name in ("json", "logging", "random", "string"):
        write(name, "own = True")
    source = write("shadowed", SHADOWED)

    assert [True, True, True, True] == service.invoke(service.create(source, "shadowed.handler"))


@pytest.mark.parametrize(
    ("look", "found"),
    [
        ("manager", {"x": 1}),
        ("forkserver", 0),
        ("listener", True),
        ("own_socket", True),
        ("python", True),
    ],
)
def test_sockets_and_programs_work(looking, look, found):
    """`multiprocessing` listens on a socket in TMPDIR; `python3` is the runtime's own, with boto3."""
    service, name = looking

    assert found == service.invoke(name, {"look": look})


def test_each_environment_has_a_private_folder(service, write):
    """It is empty at first; in a view of its own everybody may write to it, elsewhere only its user may enter it."""
    name = service.create(write("looking", LOOK), "looking.handler")
    mode = "0o700" if permitted()[0] is Namespaces.NONE else "0o777"

    assert [mode, []] == service.invoke(name, {"look": "folder"})


@pytest.mark.parametrize(
    ("file", "handler"),
    [
        ("app/__init__.py", "app.handler"),
        ("src/deep/app.py", "src/deep/app.handler"),
        ("src/deep/app.py", "src.deep.app.handler"),
        ("src/deep/__init__.py", "src.deep.handler"),
        ("my-app.py", "my-app.handler"),
    ],
)
def test_a_handler_is_found_where_python_finds_it(forked, tmp_path, file, handler):
    """It may be in a module or a package, with dots or slashes, even if the name is not an identifier."""
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("def handler(event, context):\n    return 'found'")

    assert "found" == forked.invoke(forked.create(tmp_path, handler))


def test_a_project_may_have_any_path(tmp_path, mode, write):
    """RIE turns its working folder into a URL; `#`, `%`, `?`, line ends and other characters still work."""
    if mode == "container":
        pytest.skip("a function's folder is in its image in container mode")
    root = tmp_path / "a #b %41?c&d;e\t\nf ä'\"$x"
    root.mkdir()
    (root / "harness.toml").write_text('[stack]\ns3 = "moto"\n')
    with start_private_stack(load_settings(root)) as stack:
        service = Service(stack)
        source = write("app", "import os\ndef handler(event, context):\n    return os.getcwd()")

        assert service.invoke(service.create(source, "app.handler")).startswith(("/var/task", str(root)))


KEEPS = """
import os

def handler(event, context):
    with open(os.environ["KEPT"], "a") as file:
        file.write(f"{event}\\n")
    return [name for name in os.environ if "NONCE" in name]
"""


def test_only_the_gateway_reaches_a_handler(service, write, tmp_path):
    """Web pages and other users that reach RIE's port get an error, and the handler is not called.

    Their first event meets a stopped environment until it times out; the second one, a new runtime.
    """
    kept = tmp_path / "kept"
    source = write("keeps", KEEPS)
    name = service.create(source, "keeps.handler", Timeout=3, Environment={"Variables": {"KEPT": str(kept)}})
    before = {process.pid for process in service.descendants()}
    assert [] == service.invoke(name, "ours")
    address = next(
        option
        for process in service.descendants()
        if process.pid not in before
        for flag, option in pairwise(process.cmdline())
        if flag == "--runtime-interface-emulator-address"
    )
    url = f"http://{address}/2015-03-31/functions/function/invocations"
    as_a_page = {"Content-Type": "text/plain", "Origin": "http://page.example", "X-Amz-Tenant-Id": "guessed a:b Root=1"}

    answers = [
        httpx.post(url, content=b'"theirs"', headers=headers, trust_env=False, timeout=20)
        for headers in (as_a_page, as_a_page, {})
    ]

    assert all("AccessDeniedException" in answer.text for answer in answers[1:])
    assert [] == service.invoke(name, "ours again")
    assert ["ours", "ours again"] == kept.read_text().splitlines()


ENDS = {
    "sys.exit(3)": "with error: exit status 3",
    "sys.exit(0)": "without providing a reason",
    "os._exit(5)": "with error: exit status 5",
    "os._exit(0)": "without providing a reason",
    "os.kill(os.getpid(), signal.SIGKILL)": "with error: signal: killed",
    "os.kill(os.getpid(), signal.SIGTERM)": "with error: signal: terminated",
}


@pytest.mark.parametrize("where", ["import", "handler"])
def test_an_exit_has_awss_words(service, write, where):
    """They are the same during the import and in the handler, in each new environment."""
    text = "import os, signal, sys\ndef handler(event, context):\n    exec(event)"
    if where == "import":
        text = "import os, signal, sys\nexec(os.environ['END'])\ndef handler(event, context):\n    pass"
    source = write("ends", text)

    def told(end):
        name = service.create(source, "ends.handler", Environment={"Variables": {"END": end}})
        return [service.invoke(name, end) for _ in range(2)]

    with ThreadPoolExecutor(len(ENDS)) as pool:
        for answers, reason in zip(pool.map(told, ENDS), ENDS.values(), strict=True):
            for answer in answers:
                assert "Runtime.ExitError" == answer["errorType"]
                assert re.fullmatch(
                    rf"RequestId: [0-9a-f-]{{36}} Error: Runtime exited {reason}", answer["errorMessage"]
                )
