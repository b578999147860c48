"""`harness images rm`: what the harness built goes, what a container uses stays and is named."""

import uuid
from pathlib import Path

import docker

from harness.images.build import Base
from harness.images.removal import own_images, remove_images
from harness.system.engine import find_image
from tests.support.containers import LABEL


def test_own_images_go_with_their_earlier_builds(engine: docker.DockerClient, base: Base, tmp_path: Path):
    """An image in use stays until its container is gone; then it and its successor go."""
    name = f"lambda-harness/test-{uuid.uuid4().hex[:8]}"

    def build(content: bytes) -> str:
        (tmp_path / "file").write_bytes(content)
        (tmp_path / "Dockerfile").write_text(
            f"FROM {base.image_id}\nLABEL inputs.sha256={uuid.uuid4().hex}\nCOPY file /\n"
        )
        return str(engine.images.build(path=str(tmp_path), tag=name, rm=True)[0].id)

    earlier = build(b"1" * 1_000_000)
    container = engine.containers.create(earlier, labels=LABEL)
    try:
        in_use = remove_images(engine, own_images(engine, [name]))
        assert [[container.name]] == [list(image.containers) for image in in_use.kept]
        assert [] == in_use.removed
    finally:
        container.remove(force=True)
    newer = build(b"2" * 1_000_000)

    ours = [image for image in own_images(engine) if image.image_id in (earlier, newer)]
    removal = remove_images(engine, ours)

    assert {earlier, newer} == {image.image_id for image in removal.removed}
    assert [] == removal.kept
    assert find_image(engine, earlier) is None
    assert find_image(engine, name) is None
