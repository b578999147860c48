"""What a function finds and may do in a container, and how its end is told."""

# ruff: noqa: S108 - folders of the containers

import base64
import json
import os
import re
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import psutil
import pytest

from harness.aws.clients import clients_for, emulation_session
from harness.errors import HarnessError
from harness.gateway.rie_container import ASKED, TAKES_CALLS
from harness.gateway.runtime.bootstrap import METADATA
from harness.presets.zones import ZONES
from harness.stack import start_private_stack
from harness.stack.container_labels import PROJECT_LABEL, STACK_LABEL, dead_containers
from harness.system.probes import wait_until
from tests.support.functions import ROLE, code_arguments, handlers_image
from tests.support.running import run_job


@pytest.fixture(scope="module")
def stack(engine, base, settings):
    """A stack in containers; moto as S3 starts quicker."""
    del engine, base
    with start_private_stack(settings, s3="moto", mode="container") as state:
        yield state


@pytest.fixture(scope="module")
def image(engine, base, tmp_path_factory):
    """All handlers of one behaviour."""
    del engine, base
    with handlers_image(tmp_path_factory.mktemp("image")) as image_id:
        yield image_id


@pytest.fixture
def invoke(stack, image):
    """Creates a function of one behaviour and invokes it once: its answer and the end of its log."""
    client = clients_for(stack.endpoints).functions

    def invoke_function(behaviour, event, **configuration):
        name = f"{behaviour}-{uuid.uuid4().hex[:8]}"
        arguments = code_arguments(behaviour, image)
        client.create_function(FunctionName=name, Role=ROLE, Timeout=30, **arguments, **configuration)
        try:
            answer = client.invoke(FunctionName=name, Payload=json.dumps(event), LogType="Tail")
            return json.loads(answer["Payload"].read()), answer
        finally:
            client.delete_function(FunctionName=name)

    return invoke_function


def test_a_function_is_an_ordinary_user_without_privileges(invoke):
    """It is not root, holds no capability, and has no shared memory, as on Lambda."""
    found, _ = invoke("look_around", {})

    assert found["uid"] != 0
    assert 0 == int(found["capabilities"], 16)
    assert not found["shared_memory"]


def test_only_tmp_can_be_written_to_and_up_to_its_size(invoke):
    """The root file system is read-only; /tmp takes what `EphemeralStorage` says."""
    folders = ["/", "/var/task", "/var/tmp", "/home", "/opt", "/dev/shm", "/tmp"]

    found, _ = invoke(
        "look_around", {"folders": folders, "fill_tmp": True}, EphemeralStorage={"Size": 512}, MemorySize=1769
    )

    assert ["/tmp"] == found["writable"]
    assert 512 == found["tmp_mb"]


def test_a_function_reaches_the_stack_and_nothing_else(invoke, stack):
    """S3, Memcached and the gateway answer; this machine, other networks and the world do not."""
    inside = stack.functions_see
    ours = [url.removeprefix("http://") for url in (inside.s3, inside.lambda_, inside.memcached, inside.discovery)]
    own_addresses = [a.address for all_ in psutil.net_if_addrs().values() for a in all_ if a.family.name == "AF_INET"]
    elsewhere = [f"{address}:{port}" for address in own_addresses for port in (22, 2375)]
    elsewhere = [address for address in elsewhere if not address.startswith("127.")]

    found, _ = invoke("look_around", {"addresses": [*ours, *elsewhere, "192.0.2.1:80"]})

    assert ours == found["reached"]


@pytest.mark.parametrize(("memory_mb", "cpus"), [(443, 0.25), (885, 0.5)])
def test_cpu_share_follows_memory(invoke, memory_mb, cpus):
    """A function has one CPU for each 1,769 MB: a busy loop gets no more."""
    found, _ = invoke("look_around", {"busy_s": 3}, MemorySize=memory_mb)

    # Less when others want the cores too; the quota is the most.
    assert 0.1 * cpus < found["cpus"] < 1.25 * cpus


def test_a_function_out_of_memory_is_killed_as_on_aws(invoke):
    """The answer has the signal; REPORT has the type and all of its memory."""
    found, answer = invoke("allocate", {"mb": 400}, MemorySize=128)

    assert "Unhandled" == answer["FunctionError"]
    assert "Runtime.ExitError" == found["errorType"]
    assert "signal: killed" in found["errorMessage"]
    assert "Max Memory Used: 128 MB" in log_of(answer)
    assert "\tStatus: error\tError Type: Runtime.OutOfMemory\n" in log_of(answer)


def test_the_state_of_a_stack_is_asked_while_its_containers_come_and_go(stack, engine, base):
    """A function's container that goes while the containers are listed disturbs nobody."""
    labels = {STACK_LABEL: str(stack.directory)}

    def come_and_go():
        for _ in range(8):
            engine.containers.run(base.image_id, entrypoint=["true"], labels=labels, detach=True).remove(force=True)

    with ThreadPoolExecutor(3) as pool:
        coming = [pool.submit(come_and_go) for _ in range(3)]
        asked = 0
        while not all(each.done() for each in coming):
            assert [] == dead_containers(stack)
            asked += 1
        for each in coming:
            each.result()

    assert asked


def test_a_worker_out_of_memory_is_named(stack, settings):
    """A run whose worker needs more than its memory size says which one, and what to do, within seconds."""
    small = msgspec.structs.replace(settings.functions["linear_ec_2"], memory_mb=128)
    cramped = msgspec.structs.replace(settings, functions={**settings.functions, "linear_ec_2": small})
    started = time.monotonic()

    with pytest.raises(HarnessError, match=r"worker \d ran out of memory: Runtime.OutOfMemory") as raised:
        # The rows fit; the scores of a hundred classes for all of them at once do not.
        run_job(
            stack, cramped, data="synthetic:rows=600000,features=50", n_workers=2, n_classes=100, batch_size=300_000
        )

    assert "128 MB" in raised.value.where
    assert time.monotonic() - started < 90


def test_memory_within_the_limit_is_reported(invoke):
    """REPORT tells the peak that was measured."""
    found, answer = invoke("allocate", {"mb": 100}, MemorySize=512)

    assert "held 100 MB" == found
    used = int(log_of(answer).split("Max Memory Used: ")[1].split(" ")[0])
    assert 100 < used < 250


def test_a_stack_leaves_nothing(engine, settings):
    """A stack that was stopped in order has no container, network or volume left."""
    with start_private_stack(settings, s3="moto", mode="container") as state:
        label = f"{STACK_LABEL}={state.directory}"
        assert things_with(engine, label)

    assert [] == things_with(engine, label)


def test_what_a_killed_stack_left_is_removed(engine, settings, tmp_path):
    """After a SIGKILL of its supervisor, `harness down` removes the stack's containers, networks and volumes."""
    (tmp_path / "harness.toml").write_text((settings.root / "harness.toml").read_text())
    harness = Path(sys.executable).with_name("harness")
    subprocess.run([harness, "up", "--mode", "container", "--s3", "moto"], cwd=tmp_path, check=True)
    state = json.loads((tmp_path / ".harness" / "state.json").read_bytes())
    label = f"{PROJECT_LABEL}={tmp_path}"
    os.kill(state["pid"], 9)
    assert wait_until(lambda: not psutil.pid_exists(state["pid"]), 60)
    assert things_with(engine, label)

    subprocess.run([harness, "down"], cwd=tmp_path, check=True)

    assert [] == things_with(engine, label)


def log_of(answer):
    """The end of the invocation's log."""
    return base64.b64decode(answer["LogResult"]).decode()


def things_with(engine, label):
    """Names of everything of the engine's that carries the label."""
    filters = {"label": label}
    containers = engine.containers.list(all=True, filters=filters, sparse=True)
    others = [*engine.networks.list(filters=filters), *engine.volumes.list(filters=filters)]
    return [thing.id for thing in [*containers, *others]]


def test_a_wrapper_starts_the_runtime(invoke):
    """The image's start script runs it; one that is missing ends the runtime as on AWS."""
    names = ("/usr/bin/env", "/nosuch.sh")
    good, missing = (
        invoke("echo", {"a": 1}, Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": name}}) for name in names
    )

    assert {"a": 1} == good[0]["event"]
    assert "Runtime.ExitError" == missing[0]["errorType"]
    assert missing[0]["errorMessage"].endswith("Error: Runtime exited with error: exit status 127")
    assert "/nosuch.sh: does not exist" in base64.b64decode(missing[1]["LogResult"]).decode()


def test_the_stand_ins_runtime_sees_what_was_called(engine, image, invoke):
    """AWS's own image sees the ARN that RIE makes up, and no trace."""
    if TAKES_CALLS not in engine.images.get(image).labels:
        pytest.skip("NOT TESTED: the functions are built on AWS's own image")

    seen, _ = invoke("echo", {})

    assert re.fullmatch(r"arn:aws:lambda:us-east-1:123456789012:function:echo-[0-9a-f]{8}", seen["arn"])
    assert seen["environment"]["_X_AMZN_TRACE_ID"].startswith("Root=1-")
    assert ASKED not in seen["environment"]
    assert METADATA not in seen["environment"]


def test_a_function_in_a_vpc_learns_the_zone_of_its_subnet(engine, image, invoke, stack):
    """From Lambda's metadata endpoint; RIE's own answers every function with the same zone."""
    if TAKES_CALLS not in engine.images.get(image).labels:
        pytest.skip("NOT TESTED: the functions are built on AWS's own image")
    ec2 = emulation_session(stack.endpoints).client("ec2", endpoint_url=stack.endpoints.aws)
    zone = [{"Name": "availability-zone-id", "Values": [ZONES[1]]}]
    (subnet,) = [each for each in ec2.describe_subnets(Filters=zone)["Subnets"] if each["DefaultForAz"]]
    vpc = [{"Name": "vpc-id", "Values": [subnet["VpcId"]]}]
    group = ec2.describe_security_groups(Filters=vpc)["SecurityGroups"][0]["GroupId"]

    told, _ = invoke("ask_metadata", {}, VpcConfig={"SubnetIds": [subnet["SubnetId"]], "SecurityGroupIds": [group]})

    assert {"AvailabilityZoneID": ZONES[1]} == json.loads(told["body"])
