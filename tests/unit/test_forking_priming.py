"""What botocore finds out about itself is taken over, and is the same that it would find out anew."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.unit

# Prints what a session and a client of it are made of; with an argument the process is primed first.
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
    """What the program prints."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_primed_botocore_is_as_a_fresh_one_and_looks_up_less():
    """The same client; no file is read again, and most handlers are not asked for their signature."""
    fresh, primed = told(), told("primed")

    assert fresh["found"] == primed["found"]
    assert primed["found"]["refused"]
    assert primed["counted"]["files"] == 0 < fresh["counted"]["files"]
    assert primed["counted"]["signatures"] < fresh["counted"]["signatures"] / 2
