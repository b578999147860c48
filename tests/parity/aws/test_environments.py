"""What a function finds in its execution environment.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

import base64
import json
import re

import pytest

from tests.parity.aws.support import answer_of, archive

LOOK = """
import errno, getpass, os, resource, subprocess, sys
outside = os.environ.get("_X_AMZN_TRACE_ID")

def refused(path):
    try:
        open(path, "w")
    except OSError as error:
        return errno.errorcode[error.errno]

def look(event, context):
    return {
        "cwd": os.getcwd(), "file": __file__, "path": sys.path[:3], "argv": sys.argv[0],
        "user": [getpass.getuser(), subprocess.getoutput("whoami"), os.getuid()],
        "home": os.path.expanduser("~"), "writing": refused("/var/task/new"), "variables": dict(os.environ),
    }

def limits(event, context):
    names = ("CORE", "MEMLOCK", "NOFILE", "NPROC", "STACK")
    return {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in names}

def own_tmp(event, context):
    found = os.listdir("/tmp")
    open(f"/tmp/{context.aws_request_id}", "x").close()
    return [found, context.aws_request_id, os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]]

def full_tmp(event, context):
    size = os.statvfs("/tmp")
    return size.f_blocks * size.f_frsize >> 20

def arn(event, context):
    return context.invoked_function_arn

def trace(event, context):
    return [outside, os.environ["_X_AMZN_TRACE_ID"]]

def fail(event, context):
    raise ValueError("on purpose")

def keys(event, context):
    return [os.environ[f"AWS_{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")]

def whoami(event, context):
    import boto3
    found = boto3.client("sts").get_caller_identity()
    return [found["Account"], found["Arn"], found["UserId"].partition(":")]
"""

WRAPPER = """#!/bin/bash
# As AWS's example does: options come before the last argument.
args=("$@")
export FROM_THE_WRAPPER="$#"
exec "${args[@]:0:$#-1}" "-X" "utf8" "${args[@]: -1}"
"""

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html, and what is not named there.
VARIABLES = {
    "_HANDLER": "app.look",
    "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LANG": "en_US.UTF-8",
    "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    "PWD": "/var/task",
    "PYTHONPATH": "/var/runtime",
    "SHLVL": "0",
    "TZ": ":UTC",
}
NEVER = {"HOME", "TMPDIR", "LC_CTYPE", "PYTHONUTF8", "AWS_LAMBDA_FUNCTION_TIMEOUT"}


@pytest.fixture
def invoke(functions):
    """Invokes a function and returns its decoded answer."""

    def invoke_function(name, event=None, **options):
        return answer_of(functions.invoke(FunctionName=name, Payload=json.dumps(event or {}), **options))

    return invoke_function


@pytest.fixture
def two_environments(functions, invoke):
    """Returns the answers of `$LATEST`, of a version, whose environment is another one, and of `$LATEST` again."""

    def invoke_both(name):
        version = functions.publish_version(FunctionName=name)["Version"]
        return invoke(name), invoke(name, Qualifier=version), invoke(name)

    return invoke_both


@pytest.mark.usefixtures("isolated")
def test_paths_and_user_are_awss(create, invoke):
    """The package lies in /var/task, which nobody can write to; layers come behind it; the user has no home."""
    seen = invoke(create(LOOK, Handler="app.look"))

    assert ("/var/task", "/var/task/app.py", "/var/runtime/bootstrap.py") == (seen["cwd"], seen["file"], seen["argv"])
    assert ["/var/task", "/opt/python/lib/python3.11/site-packages", "/opt/python"] == seen["path"]
    assert ["sbx_user1051", "sbx_user1051", 993] == seen["user"]
    assert "/home/sbx_user1051" == seen["home"]
    assert "EROFS" == seen["writing"]


@pytest.mark.usefixtures("isolated")
def test_variables_are_awss(create, invoke):
    """Those that the image sets on AWS, without any that help the emulation alone."""
    name = create(LOOK, Handler="app.look", Environment={"Variables": {"OWN": "value"}})
    seen = invoke(name)["variables"]

    assert VARIABLES | {"OWN": "value"} == {key: seen.get(key) for key in (*VARIABLES, "OWN")}
    assert set() == NEVER & set(seen)
    assert [] == [key for key in seen if key.startswith("_HARNESS")]
    assert seen["AWS_XRAY_DAEMON_ADDRESS"] == f"{seen['_AWS_XRAY_DAEMON_ADDRESS']}:{seen['_AWS_XRAY_DAEMON_PORT']}"


@pytest.mark.usefixtures("isolated")
def test_limits_are_awss(create, invoke):
    """As recorded on AWS."""
    assert {
        "CORE": [10_737_418_240, 10_737_418_240],
        "MEMLOCK": [65_536, 65_536],
        "NOFILE": [1024, 1024],
        "NPROC": [742, 742],
        "STACK": [8_388_608, -1],
    } == invoke(create(LOOK, Handler="app.limits"))


@pytest.mark.usefixtures("isolated")
def test_each_environment_has_a_tmp_of_its_own(create, two_environments):
    """Two that live at once do not see each other's files; one that is used again sees its own."""
    first, second, again = two_environments(create(LOOK, Handler="app.own_tmp", Timeout=30))

    assert first[2] != second[2]
    assert [] == first[0] == second[0]
    assert again[0] == ([first[1]] if again[2] == first[2] else [])


@pytest.mark.usefixtures("isolated")
def test_tmp_has_the_configured_size(create, invoke):
    """The file system says so, within a few percent for what it needs itself."""
    assert 0.9 * 1024 < invoke(create(LOOK, Handler="app.full_tmp", EphemeralStorage={"Size": 1024})) <= 1024


@pytest.mark.usefixtures("isolated")
def test_a_stack_trace_shows_awss_paths(create, invoke):
    """The line of the handler alone, as its runtime's are left out."""
    answer = invoke(create(LOOK, Handler="app.fail"))

    (frame,) = answer["stackTrace"]
    assert re.fullmatch(r'  File "/var/task/app.py", line \d+, in fail\n    raise ValueError\("on purpose"\)\n', frame)


def test_the_invoked_arn_has_the_qualifier_that_was_called(functions, create, invoke):
    """None, $LATEST, a version or an alias."""
    name = create(LOOK, Handler="app.arn")
    plain = functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    version = functions.publish_version(FunctionName=name)["Version"]
    functions.get_waiter("published_version_active").wait(FunctionName=name, Qualifier=version)
    functions.create_alias(FunctionName=name, Name="alias1", FunctionVersion=version)

    assert plain == invoke(name)
    for qualifier in ("$LATEST", version, "alias1"):
        assert f"{plain}:{qualifier}" == invoke(name, Qualifier=qualifier) == invoke(f"{plain}:{qualifier}")


def test_a_trace_of_the_caller_goes_on(functions, create, invoke):
    """Each invocation has a trace of its own unless the caller sends one; there is none during the import."""
    name = create(LOOK, Handler="app.trace")
    own = [invoke(name), invoke(name)]
    given = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"

    def send(request, **_):
        request.headers["X-Amzn-Trace-Id"] = given

    functions.meta.events.register("before-send.lambda.Invoke", send)
    try:
        passed = invoke(name)
    finally:
        functions.meta.events.unregister("before-send.lambda.Invoke", send)

    form = r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=[01];Lineage=\S+"
    assert all(outside is None and re.fullmatch(form, inside) for outside, inside in (*own, passed))
    assert own[0] != own[1]
    assert passed[1].startswith("Root=1-5759e988-bd862e3fe1be46a994272793;")


def test_each_environment_has_credentials_of_its_own(create, two_environments):
    """No two share a key, a secret or a token."""
    first, second, _ = two_environments(create(LOOK, Handler="app.keys", Timeout=30))

    assert [] == [one for one, other in zip(first, second, strict=True) if one == other]


def test_its_credentials_are_its_roles(create, invoke, role):
    """STS answers with the session of the role that has the function's name."""
    name = create(LOOK, Handler="app.whoami", Timeout=30)
    account, arn, (identity, _, session) = invoke(name)

    assert role.split(":")[4] == account
    assert f"arn:aws:sts::{account}:assumed-role/{role.rpartition('/')[2]}/{name}" == arn
    assert identity.startswith("AROA")
    assert name == session


def test_a_wrapper_starts_the_runtime(create, invoke):
    """It gets the interpreter and one script, and may add options between them."""
    look = "import os\ndef handler(event, context):\n    return os.environ.get('FROM_THE_WRAPPER')"
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrapper"}
    name = create(
        Code={"ZipFile": archive(look, wrapper=WRAPPER)},
        Environment={"Variables": variables},
    )

    assert "2" == invoke(name)


@pytest.mark.parametrize(
    ("wrapper", "status", "words"),
    [("/nosuch.sh", 127, "does not exist"), ("/etc/passwd", 126, "is not an executable")],
)
def test_a_wrapper_that_is_of_no_use_ends_the_runtime(functions, create, wrapper, status, words):
    """With the status of AWS's own start script, which says why in the log."""
    name = create(Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": wrapper}})
    invoked = functions.invoke(FunctionName=name, Payload="{}", LogType="Tail")

    assert "Unhandled" == invoked["FunctionError"]
    assert f"{wrapper}: {words}" in base64.b64decode(invoked["LogResult"]).decode()
    answer = answer_of(invoked)
    assert "Runtime.ExitError" == answer["errorType"]
    assert re.fullmatch(
        rf"RequestId: \S+ Error: Runtime exited with error: exit status {status}", answer["errorMessage"]
    )


@pytest.mark.parametrize(
    "source",
    [
        "import sys\nsys.exit(0)\n",
        "import sys\ndef handler(event, context):\n    sys.exit(0)\n",
    ],
    ids=["at import", "in the handler"],
)
def test_a_runtime_that_ends_with_status_0_gives_no_reason(create, invoke, source):
    """Its answer is an error nevertheless."""
    answer = invoke(create(source))

    assert "Runtime.ExitError" == answer["errorType"]
    assert re.fullmatch(r"RequestId: \S+ Error: Runtime exited without providing a reason", answer["errorMessage"])
