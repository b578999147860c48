"""Which images `harness images rm` takes for the harness's own, as the engine lists them."""

import pytest

from harness.images.removal import choose

SOURCE, INPUTS, STAGE = {"source.sha256": "1"}, {"inputs.sha256": "1"}, {"lambda-harness.stage": "code"}


def image(identity, *tags, parent="", labels=None):
    """One line of the engine's answer to `GET /images/json?all=1`."""
    return {"Id": identity, "ParentId": parent, "RepoTags": [*tags] or None, "Labels": labels, "Size": 1}


IMAGES = [
    image("aws", "public.ecr.aws/lambda/python:3.11"),
    image("debian", "debian:bookworm-slim", "lambda-harness/debian:bookworm"),
    image("stand-in", "lambda-harness/lambda-python:3.11", parent="debian", labels=INPUTS),
    image("stage of a stand-in", parent="middle"),
    image("middle", parent="stand-in"),
    image("worker", "linear_ec_2:latest", "127.0.0.1:5000/linear_ec_2:latest", parent="aws", labels=SOURCE),
    image("earlier", "<none>:<none>", parent="aws", labels=SOURCE),
    image("stage", parent="aws", labels=STAGE),
    image("mine", "mine:latest", parent="worker", labels=SOURCE),
    image("shared", "linear_ec_1:latest", "mine:coordinator", parent="aws", labels=SOURCE),
    image("namesake", "linear_ec_2_nn:latest", parent="aws"),
    image("else", "postgres:16"),
    image("nobody's", parent="aws"),
]
CONTAINERS = [{"ImageID": "worker", "Names": ["/w1"]}, {"ImageID": "else", "Names": ["/db"]}]


def test_what_the_harness_built_is_found_and_nothing_else():
    """By label and name, earlier builds and stages too; not what was pulled, derived, or has such a name by chance."""
    found = {one.image_id: (one.names, one.others, one.containers) for one in choose(IMAGES, CONTAINERS)}

    assert {
        "debian": (("lambda-harness/debian:bookworm",), ("debian:bookworm-slim",), ()),
        "stand-in": (("lambda-harness/lambda-python:3.11",), (), ()),
        "stage of a stand-in": ((), (), ()),
        "worker": (("linear_ec_2:latest", "127.0.0.1:5000/linear_ec_2:latest"), (), ("w1",)),
        "earlier": ((), (), ()),
        "stage": ((), (), ()),
        "shared": (("linear_ec_1:latest",), ("mine:coordinator",), ()),
    } == found


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("linear_ec_2", ["worker"]),
        ("lambda-harness/lambda-python", ["stand-in"]),
        ("lambda-harness/lambda-python:3.11", ["stand-in"]),
        ("mine", []),
        ("postgres", []),
    ],
)
def test_a_name_chooses_its_image(name, found):
    """And no earlier build, which has none."""
    assert found == [one.image_id for one in choose(IMAGES, CONTAINERS, [name])]
