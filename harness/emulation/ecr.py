"""ECR: a repository's images are the images under its name in the stack's registry.

    docker push 127.0.0.1:PORT/lambda-harness/linear_ec_1:tag
    DescribeImages of lambda-harness/linear_ec_1  ->  that image

On AWS, the repository is the registry. Here, the registry accepts pushes to any name and lets tags move.
"""

import json
import os
from collections.abc import Iterator
from typing import Any

import httpx
from moto.core.resource_tagging import TaggableResourcesMixin, TaggedResource
from moto.ecr import models, urls

from harness.emulation.environment import REGISTRY

ANSWERS_WITHIN_S = 10.0
# https://distribution.github.io/distribution/spec/manifest-v2-2/ and its OCI kin
_MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)


class RegistryImage(models.Image):
    """An image in the registry."""

    def get_image_size_in_bytes(self) -> int | None:
        """Return the size that AWS bills, which is that of the compressed layers; None for an index of images."""
        layers = json.loads(self.image_manifest).get("layers")
        return None if layers is None else sum(layer["size"] for layer in layers)


class RegistryBackend(models.ECRBackend, TaggableResourcesMixin):  # type: ignore[misc]  # both name their calls tag_resource
    """The repositories of one account in one region."""

    SERVICE_NAMESPACE = "ecr"

    @property
    def _url_module(self) -> Any:  # noqa: ANN401 - moto's; it would look for one beside this module
        return urls

    def iter_tagged_resources(self) -> Iterator[TaggedResource]:
        """Return the repositories for the Resource Groups Tagging API."""
        for repository in list(self.repositories.values()):
            tags = self.tagger.get_tag_dict_for_resource(repository.arn)
            yield TaggedResource(arn=repository.arn, tags=tags, resource_type="ecr:repository")

    def list_images(self, repository_name: str, *others: Any, **more: Any) -> Any:  # noqa: ANN401 - moto's
        """ListImages."""
        self._look_into_registry(repository_name)
        return super().list_images(repository_name, *others, **more)

    def describe_images(self, repository_name: str, *others: Any, **more: Any) -> Any:  # noqa: ANN401 - moto's
        """DescribeImages."""
        self._look_into_registry(repository_name)
        return super().describe_images(repository_name, *others, **more)

    def batch_get_image(self, repository_name: str, *others: Any, **more: Any) -> Any:  # noqa: ANN401 - moto's
        """BatchGetImage."""
        self._look_into_registry(repository_name)
        return super().batch_get_image(repository_name, *others, **more)

    def batch_delete_image(self, repository_name: str, *others: Any, **more: Any) -> Any:  # noqa: ANN401 - moto's
        """BatchDeleteImage, also from the registry."""
        self._look_into_registry(repository_name)
        before = self._digests(repository_name)
        answer = super().batch_delete_image(repository_name, *others, **more)
        self._delete_from_registry(repository_name, before - self._digests(repository_name))
        return answer

    def delete_repository(self, repository_name: str, registry_id: str | None = None, force: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - moto's
        """DeleteRepository: refused while it holds images, unless forced."""
        self._look_into_registry(repository_name)
        digests = self._digests(repository_name)
        answer = super().delete_repository(repository_name, registry_id, force)
        self._delete_from_registry(repository_name, digests)
        return answer

    def _digests(self, name: str) -> set[str]:
        repository = self.repositories.get(name)
        return {image.get_image_digest() for image in repository.images} if repository else set()

    def _look_into_registry(self, name: str) -> None:
        """Update the repository's images from the registry."""
        repository = self.repositories.get(name)
        if repository is None or REGISTRY not in os.environ:
            return
        with _registry() as registry:
            answer = registry.get(f"/v2/{name}/tags/list")
            tags: list[str] = (answer.json().get("tags") or []) if answer.status_code == httpx.codes.OK else []
            images: dict[str, RegistryImage] = {}
            for tag in sorted(tags):
                manifest = registry.get(f"/v2/{name}/manifests/{tag}", headers={"Accept": ", ".join(_MANIFESTS)})
                if manifest.status_code != httpx.codes.OK:
                    continue  # deleted since it was listed
                digest = manifest.headers["Docker-Content-Digest"]
                if digest in images:
                    images[digest].update_tag(tag)
                else:
                    media = manifest.headers["Content-Type"]
                    images[digest] = RegistryImage(self.account_id, tag, manifest.text, name, media, digest)
        # Keep the push time of known images.
        known = {image.get_image_digest(): image for image in repository.images}
        for digest, image in images.items():
            if digest in known:
                image.image_pushed_at = known[digest].image_pushed_at
        repository.images = list(images.values())

    @staticmethod
    def _delete_from_registry(name: str, digests: set[str]) -> None:
        if digests and REGISTRY in os.environ:
            with _registry() as registry:
                for digest in digests:
                    registry.delete(f"/v2/{name}/manifests/{digest}")


def _registry() -> httpx.Client:
    return httpx.Client(base_url=os.environ[REGISTRY], timeout=ANSWERS_WITHIN_S, trust_env=False)


def install(_endpoint: str) -> None:
    """Replace moto's implementation."""
    models.ecr_backends.backend = RegistryBackend
