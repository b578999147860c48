"""Commands in surroundings that nobody wishes for: each succeeds, or says in three lines what is wrong."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.system.probes import wait_until

HARNESS = Path(sys.executable).with_name("harness")
NOBODY = 54_321  # a number that no user has
slow = pytest.mark.slow
CHEAP = (["status"], pytest.param(["doctor"], marks=slow), pytest.param(["down"], marks=slow))

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount file systems and become another user")


@pytest.fixture(scope="module", autouse=True)
def _installed(settings):
    """The command of this working tree."""
    if HARNESS.read_bytes() != (settings.root / "harness" / "bin" / "harness").read_bytes():
        pytest.fail("the command `harness` of this environment is an older one: run `make setup`")


@pytest.fixture
def project(tmp_path, settings):
    """A project of its own whose functions are ours."""
    return make_project(tmp_path / "project", settings)


@pytest.fixture(scope="module")
def up(tmp_path_factory, settings):
    """A project whose stack is up."""
    folder = make_project(tmp_path_factory.mktemp("up") / "project", settings)
    try:
        said = harness(folder, "up", "--s3", "moto")
        assert 0 == said.returncode, said.stderr
        yield folder
    finally:
        assert 0 == harness(folder, "down").returncode


def make_project(folder, settings):
    """A project with our functions, whose S3 is moto unless told otherwise."""
    folder.mkdir()
    text = (settings.root / "harness.toml").read_text().replace('s3 = "localstack"', 's3 = "moto"')
    for room in ("lambdas", "requirements"):
        text = text.replace(f'"{room}/', f'"{settings.root}/{room}/')
    (folder / "harness.toml").write_text(text)
    return folder


def harness(cwd, *arguments, env=None, prefix=(), **options):
    """Runs a command to its end; the variables are added to this process's."""
    return subprocess.run(
        [*prefix, HARNESS, *arguments],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        timeout=90,
        check=False,
        **(options or {"capture_output": True}),
    )


def short(done, *codes):
    """Checks the exit code, and that what a command said is short; returns it."""
    said, error = (text.decode(errors="replace") for text in (done.stdout or b"", done.stderr or b""))
    assert done.returncode in codes, said + error
    assert "Traceback" not in said + error
    assert "unexpected" not in error
    lines = error.splitlines()
    wrong = next((number for number, line in enumerate(lines) if line.startswith("error: ")), len(lines))
    assert len(lines) - wrong <= 3, error
    return said + error


@pytest.mark.parametrize("command", CHEAP, ids=lambda command: command[0])
@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONOPTIMIZE": "2", "PYTHONWARNINGS": "error", "PYTHONSAFEPATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
        {"PYTHONHASHSEED": "odd"},
        {"PYTHONHOME": "/nosuch"},
        {"PYTHONIOENCODING": "ascii:strict", "LC_ALL": "C"},
        {"HOME": ""},
        {"HOME": "/nosuch", "XDG_CACHE_HOME": ""},
        {"TMPDIR": "/nosuch"},
        {"TERM": "odd", "COLUMNS": "odd", "LINES": "0"},
        {"DOCKER_HOST": "odd"},
        {"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1", "SSL_CERT_FILE": "/nosuch"},
    ],
    ids="+".join,
)
def test_variables_that_are_wrong_or_strange(project, variables, command):
    """A command that needs no stack."""
    short(harness(project, *command, env=variables), 0, 1)


def test_modules_of_our_names_on_the_users_path(up, tmp_path):
    """Neither the command nor what it starts imports them; the working folder's are not searched either."""
    for name in ("harness", "training", "fixtures", "json", "re", "click", "site", "sitecustomize", "msgspec", "numpy"):
        for folder in (tmp_path, up):
            (folder / f"{name}.py").write_text("raise SystemExit(f'imported {__file__}')\n")
    try:
        run = harness(
            up,
            *("run", "--n-workers", "2", "--data", "sklearn:wine", "--n-epochs", "2", "--json"),
            env={"PYTHONPATH": str(tmp_path), "PYTHONOPTIMIZE": "2", "PYTHONINSPECT": "1"},
        )
    finally:
        for path in up.glob("*.py"):
            path.unlink()
    short(run, 0)
    assert "succeeded" == json.loads(run.stdout)["status"]


def test_the_users_aws_settings_do_not_reach_a_stack(up, tmp_path):
    """All of them wrong at once."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_bytes(b"[default]\nregion = \xff\ns3 = odd\n[profile")
    variables = {
        "HOME": str(tmp_path),
        "AWS_PROFILE": "nosuch",
        "AWS_RETRY_MODE": "odd",
        "AWS_MAX_ATTEMPTS": "0",
        "AWS_DEFAULTS_MODE": "odd",
        "AWS_CA_BUNDLE": "/nosuch",
        "AWS_STS_REGIONAL_ENDPOINTS": "odd",
        "AWS_ENDPOINT_URL": "odd",
        "AWS_REGION": "odd",
        "AWS_EC2_METADATA_DISABLED": "true",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
    }
    run = harness(up, "run", "--n-workers", "1", "--data", "sklearn:wine", "--n-epochs", "2", env=variables)
    assert "succeeded" in short(run, 0)
    for command in (["runs"], ["logs", "linear_ec_2"], ["status"]):
        short(harness(up, *command, env=variables), 0)
    assert "AWS" in short(harness(up, "runs", "--target", "aws", env=variables), 1)


@pytest.mark.parametrize("stream", [">&-", "2>&-", "<&-", ">&- 2>&- <&-", "2>/dev/full"])
@pytest.mark.parametrize(
    "command", ["status", pytest.param("doctor", marks=pytest.mark.slow), pytest.param("down", marks=pytest.mark.slow)]
)
def test_streams_that_are_closed_or_full(project, command, stream):
    """What nobody can read is no reason to fail."""
    quiet = subprocess.run(
        ["sh", "-c", f"'{HARNESS}' {command} {stream}"], cwd=project, capture_output=True, timeout=60, check=False
    )
    short(quiet, 0, 1)
    assert (command == "status") == (quiet.returncode == 1) or command == "doctor"


def test_an_output_that_takes_nothing(up):
    """A full disk is an error in one line; a reader that has seen enough is none, and no noise."""
    with Path("/dev/full").open("wb") as full:
        lost = harness(up, "status", stdout=full, stderr=subprocess.PIPE)
    assert "standard output cannot be written to: No space left on device" in short(lost, 1)

    piped = f"'{HARNESS}' status --json | true; '{HARNESS}' --help | head -1"
    read = subprocess.run(["sh", "-c", piped], cwd=up, capture_output=True, timeout=60, check=False)
    assert b"" == read.stderr
    assert read.stdout.startswith(b"Usage: harness")


def test_text_that_is_not_utf_8(up):
    """Names and payloads, on the command line and in files."""
    odd = b"\xff\xfe"
    assert "is not declared" in short(harness(up, "invoke", odd), 1)
    assert "is not UTF-8" in short(harness(up, "logs", odd), 1)
    assert "parse request body" in short(harness(up, "invoke", "linear_ec_1", "--payload", odd), 1)
    (up / "event").write_bytes(odd)
    assert "parse request body" in short(harness(up, "invoke", "linear_ec_1", "--event", "event"), 1)
    (up / "job.json").write_bytes(odd)
    assert "--job job.json" in short(harness(up, "run", "--job", "job.json"), 1)
    short(harness(up, "run", "--data", odd), 1)
    short(harness(up, "predict", odd, "--file", "harness.toml"), 1)
    short(harness(up, odd), 2)
    latin = harness(up, "invoke", "linear_ec_1", "--payload", '{"model": "ü"}', env={"LC_ALL": "C", "LANG": "C"})
    assert "JobError" in short(latin, 1)


def test_a_working_folder_that_was_deleted(tmp_path):
    """Also when the shell that started the command is in it."""
    script = f"mkdir gone && cd gone && rmdir ../gone && '{HARNESS}' status"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert "error: the working folder no longer exists" in short(done, 1)


@pytest.mark.parametrize("place", ["state.json", ".harness", "stacks"])
def test_something_else_in_the_place_of_our_files(project, place):
    """A folder for the state file, a file for the folder."""
    if place == "state.json":
        (project / ".harness" / place).mkdir(parents=True)
    elif place == "stacks":
        (project / ".harness").mkdir()
        (project / ".harness" / place).touch()
    else:
        (project / place).touch()
    commands = [["up"], ["run", "--n-workers", "1", "--data", "sklearn:wine"]]
    if place != "stacks":
        commands += [["status"], ["down"], ["runs"]]
    for command in commands:
        assert str(project / ".harness") in short(harness(project, *command), 1), command


def test_git_ignores_the_state_folder_in_any_project(up):
    """Without a line in the project's own `.gitignore`."""
    subprocess.run(["git", "init", "--quiet"], cwd=up, check=True)
    status = subprocess.run(["git", "status", "--short"], cwd=up, capture_output=True, text=True, check=True)
    shutil.rmtree(up / ".git")
    assert ".harness" not in status.stdout


def test_looking_for_a_stack_leaves_no_trace(project):
    """`status` in a project that has never had one."""
    short(harness(project, "status"), 1)
    assert not (project / ".harness").exists()


@contextmanager
def mounted(folder, options):
    """A file system of its own below `folder`, which may be full, read-only or forbid programs."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@needs_root
@pytest.mark.parametrize(
    "options",
    ["size=700k", "nr_inodes=12", *(pytest.param(o, marks=slow) for o in ("size=100k", "nr_inodes=4", "nr_inodes=40"))],
)
def test_no_space_or_inodes_left(project, options):
    """One error names the folder that is full, however far the command comes."""
    folder = project / ".harness"
    folder.mkdir()
    with mounted(folder, options):
        said = short(harness(project, "run", "--n-workers", "2", "--data", "sklearn:wine"), 1)
        assert "is full" in said or "No space left" in said
        assert str(folder) in said


@needs_root
def test_a_read_only_checkout(project, tmp_path):
    """State goes into the user's cache; every command works as elsewhere, also once the checkout is writable."""
    mine = tmp_path / "mine"
    mine.mkdir()
    with mounted(mine, "size=1m"):
        shutil.copy(project / "harness.toml", mine)
        subprocess.run(["mount", "-o", "remount,ro", mine], check=True)
        assert "no stack is up" in short(harness(mine, "status"), 1)
        short(harness(mine, "down"), 0)
        short(harness(mine, "up"), 0)
        try:
            assert "the stack is up" in short(harness(mine, "status"), 0)
            short(harness(mine, "runs"), 0)
            inspected = harness(mine, "data", "inspect", "s3://nosuch")
            assert "no S3 found" not in short(inspected, 1)
            subprocess.run(["mount", "-o", "remount,rw", mine], check=True)
            assert "the stack is up" in short(harness(mine, "status"), 0)
        finally:
            down = short(harness(mine, "down"), 0)
        assert "the stack is down" in down


@slow
@needs_root
def test_a_cache_whose_programs_may_not_run(project, tmp_path, settings):
    """`doctor` notices, and so does whoever needs the emulator."""
    cache = tmp_path / "cache"
    cache.mkdir()
    with mounted(cache, "noexec"):
        shutil.copytree(settings.cache_dir / "rie", cache / "lambda-harness" / "rie")
        variables = {"XDG_CACHE_HOME": str(cache)}
        for command in (["doctor"], ["run", "--n-workers", "1"], ["up"]):
            said = short(harness(project, *command, env=variables), 1)
            assert "noexec" in said


@needs_root
@pytest.mark.parametrize(
    "command", [["status"], ["invoke", "linear_ec_1"], ["logs", "linear_ec_1"], ["runs"], ["down"]], ids=lambda c: c[0]
)
def test_another_users_stack(up, command):
    """One error names the folder and its owner; the stack goes on."""
    said = short(harness(up, *command, prefix=become(NOBODY), env={"HOME": "/nosuch"}), 1)
    assert "belongs to another user (root)" in said
    assert "the stack is up" in short(harness(up, "status"), 0)


@slow
@needs_root
def test_a_user_without_name_and_home(settings):
    """As in a container that runs under any number: a whole run, with all that is kept in the project."""
    # pytest's own folder is its user's alone.
    folder = Path(tempfile.mkdtemp(prefix="harness-"))
    try:
        folder.chmod(0o755)
        run_as_nobody(make_project(folder / "project", settings), settings)
    finally:
        shutil.rmtree(folder)


def run_as_nobody(project, settings):
    """A run under a number that no user has, and without a home."""
    cache = project / ".harness" / "cache"
    shutil.copytree(settings.cache_dir / "rie", cache / "rie")
    for path in (project, *project.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    variables = {"HOME": "", "XDG_CACHE_HOME": ""}
    for command in (["status"], ["doctor"]):
        short(harness(project, *command, prefix=become(NOBODY), env=variables), 0, 1)
    command = ["run", "--n-workers", "1", "--data", "sklearn:wine", "--n-epochs", "2"]
    assert "succeeded" in short(harness(project, *command, prefix=become(NOBODY), env=variables), 0)


def become(uid):
    """Runs a command as another user, who may read what root has: the environment's Python may be root's alone."""
    capability = "+dac_read_search"
    who = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    return ["setpriv", *who, f"--inh-caps={capability}", f"--ambient-caps={capability}"]


def test_the_end_of_a_terminal_ends_the_run(up):
    """A terminal that is closed takes the command along, which tells the workers to stop."""
    controller, terminal = os.openpty()
    with (up / "said").open("wb") as said:
        run = subprocess.Popen(
            ["setsid", "--ctty", HARNESS, "run", "--n-workers", "2", "--n-epochs", "1000000", "--data", "sklearn:wine"],
            cwd=up,
            stdin=terminal,
            stdout=terminal,
            stderr=said,
        )
    os.close(terminal)
    with run:
        assert wait_until(lambda: b"training ..." in (up / "said").read_bytes(), 60)
        os.close(controller)
        run.wait(60)
    words = (up / "said").read_text()
    assert 128 + signal.SIGHUP == run.returncode, words
    assert "interrupted (SIGHUP)" in words
    assert "2 workers were told to stop" in words
    assert "Traceback" not in words
