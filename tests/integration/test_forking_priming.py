"""Data of libraries and files that processes share, equal to what a fresh process would compute."""

import json
import subprocess
import sys

# Prints the parts of a session and a client; with an argument, the process is primed first.
PROGRAM = """
import json, sys
import boto3
import botocore.session
from botocore import hooks

if len(sys.argv) > 1:
    from harness.gateway.forking.priming import prime_botocore
    prime_botocore(["s3"])

counted = {"signatures": 0, "files": 0}
from botocore import compat, loaders
def counting(name, function):
    def call(*arguments, **options):
        counted[name] += 1
        return function(*arguments, **options)
    return call
compat.inspect.getfullargspec = counting("signatures", compat.inspect.getfullargspec)
loaders.JSONFileLoader.load_file = counting("files", loaders.JSONFileLoader.load_file)

session = botocore.session.Session()
client = boto3.Session(botocore_session=session).client(
    "s3", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b"
)
emitter = session.get_component("event_emitter")
names = ["creating-client-class.iot-data", "before-call.apigateway", "docs.*.autoscaling.CreateLaunchConfiguration"]
aliased = hooks.EventAliaser(None, {"new": "old"})

def without_keywords(): pass
try:
    emitter.register("before-call.s3", without_keywords)
    refused = False
except ValueError:
    refused = True
print(json.dumps({
    "counted": counted,
    "found": {
        "methods": sorted(name for name in dir(client) if not name.startswith("_")),
        "url": client.generate_presigned_url("get_object", {"Bucket": "b", "Key": "k"}, ExpiresIn=1).split("?")[0],
        "endpoint": client.meta.endpoint_url,
        "aliases": [emitter._alias_event_name(name) for name in names],
        "own aliases": aliased._alias_event_name("creating-client-class.new"),
        "refused": refused,
    },
}))
"""


def told(*arguments):
    """Return the output of the program."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_primed_botocore_is_as_a_fresh_one_and_looks_up_less():
    """The client is the same; no file is read again, and most handlers' signatures are not inspected."""
    fresh, primed = told(), told("primed")

    assert fresh["found"] == primed["found"]
    assert primed["found"]["refused"]
    assert primed["counted"]["files"] == 0 < fresh["counted"]["files"]
    assert primed["counted"]["signatures"] < fresh["counted"]["signatures"] / 2


# Imports the modules of a folder twice, the second time in a forked process, for which one file is gone.
IMPORTS = """
import os, pathlib, sys
from harness.gateway.forking.compiled import hold_code

folder = pathlib.Path(sys.argv[1])
hold_code(sorted(folder.rglob("*.py")))
sys.path.insert(0, str(folder))
(folder / "counter.py").write_text("raise RuntimeError('read again')")
for _ in range(2):
    if os.fork() == 0:
        import counter, package.inner
        counter.count += 1
        print(counter.count, counter.__file__, package.inner.where(), flush=True)
        try:
            import broken
        except SyntaxError as error:
            print(error.filename, error.lineno, flush=True)
        os._exit(0)
    os.wait()
"""


def test_modules_run_anew_in_each_process_and_are_read_once(tmp_path):
    """Each process has its own state, tracebacks name files and lines, and mistakes in code are reported as usual."""
    (tmp_path / "counter.py").write_text("count = 0")
    (tmp_path / "broken.py").write_text("x = 1\n)")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "inner.py").write_text(
        "def where():\n    return where.__code__.co_filename, where.__code__.co_firstlineno"
    )

    done = subprocess.run([sys.executable, "-c", IMPORTS, tmp_path], capture_output=True, text=True, check=True)

    inner = tmp_path / "package" / "inner.py"
    one = [f"1 {tmp_path / 'counter.py'} ({str(inner)!r}, 1)", f"{tmp_path / 'broken.py'} 2"]
    assert one * 2 == done.stdout.splitlines()
