"""docs/containers.md: its commands, run in order, in a copy of the clone."""

import os
import re
import shutil
import socket
import subprocess
import uuid

import pytest

from tests.support.documents import LEFT_OUT, ROOT, Block, blocks_of, copy_of_the_clone, run_script, script_of

WITHIN_S = 500

pytestmark = [
    pytest.mark.timeout(WITHIN_S + 60),
    # With the rehearsal: both verify and push the images of this machine.
    pytest.mark.xdist_group("rehearsal"),
]

PORTS = {"S3_PORT": 4566, "AWS_PORT": 5001, "MEMCACHED_PORT": 11211, "DISCOVERY_PORT": 11212, "REGISTRY_PORT": 5000}
PORTS["GATEWAY_PORT"] = 9001
PAGE = ROOT / "docs" / "containers.md"
BLOCKS = [block for block in blocks_of(PAGE) if block.kind == "sh" and block.note.startswith("containers")]
# What other tests of this session stand on.
KEPT = "harness images rm"


def test_runs_in_containers_work_as_printed(tmp_path, registry):
    """Images, a stack to keep, one worker by hand."""
    printed = run_blocks(BLOCKS[: in_section("Images")], tmp_path, {"127.0.0.1:5000": registry})

    assert re.search(r'\{"statusCode": 200, "body": \{"run_id": "[^"]+", "rank": 0\}\}', printed), printed[-4000:]


def test_images_and_compose_work_as_printed(tmp_path):
    """Images verified; a stack of Compose, partitions, functions made by AWS's own command line, a model, a push."""
    for program, remedy in (("aws", "pip install awscli"), ("docker-compose", "apt-get install docker-compose")):
        if shutil.which(program) is None:
            pytest.skip(f"NOT TESTED, for want of {program}: {remedy}")
    ports = {name: free_port() for name in PORTS}
    addresses = {f"127.0.0.1:{PORTS[name]}": f"127.0.0.1:{port}" for name, port in ports.items()}
    variables = {name: str(port) for name, port in ports.items()}
    variables["COMPOSE_PROJECT_NAME"] = f"test-{uuid.uuid4().hex[:8]}"

    try:
        printed = run_blocks(BLOCKS[in_section("Images") :], tmp_path, addresses, variables)
    finally:
        down = ["docker-compose", "down", "--volumes", "--remove-orphans"]
        subprocess.run(down, cwd=tmp_path, env=os.environ | variables, capture_output=True, check=False)

    assert "model.npz" in printed


def in_section(title):
    """Return the index of the first block behind a heading."""
    line = PAGE.read_text().partition(f"\n## {title}\n")[0].count("\n") + 1
    return next(index for index, block in enumerate(BLOCKS) if block.line > line)


def run_blocks(chosen, folder, addresses, variables=None):
    """Run the blocks for containers, in order; return what they printed.

    Args:
        chosen: The blocks.
        folder: For the copy of the clone.
        addresses: What stands in for addresses that may be in use on this machine.
        variables: What else the shell knows.
    """
    worker = f"worker-{uuid.uuid4().hex[:8]}"
    blocks = [
        Block(block.kind, block.note, with_replacements(block.text, addresses, worker), block.line) for block in chosen
    ]
    assert blocks
    blocks.insert(0, Block("sh", "", ". .venv/bin/activate\n", 0))

    code, printed = run_script(
        script_of(blocks, (*LEFT_OUT, KEPT)), copy_of_the_clone(folder), WITHIN_S, variables=variables
    )

    assert 0 == code, printed[-4000:]
    for word in ("Traceback", "errorMessage", "FunctionError"):
        assert word not in printed, printed[-4000:]
    return printed


def with_replacements(text, addresses, worker):
    """Return the block with other addresses and another name for its container."""
    # A reader who does not see the model yet looks again.
    text = re.sub(
        r"^(aws s3 ls \S+) +# model.npz, a second later$",
        r"timeout 60 sh -c 'until \1 | grep model.npz; do sleep 0.5; done'",
        text,
        flags=re.MULTILINE,
    )
    for printed, here in addresses.items():
        text = re.sub(rf"{re.escape(printed)}\b", here, text)
    return re.sub(r"(--name|docker stop|\)) worker\b", rf"\1 {worker}", text)


def free_port():
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
