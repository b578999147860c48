"""The images that go to AWS: built, listed, verified, recorded and pushed by digest."""

from harness.engine import connect
from harness.images.bases import Bases, build_bases
from harness.images.build import Base, Built, build_image, find_base
from harness.images.catalogue import RECIPES, Recipe, recipes
from harness.images.listing import Entry, list_images
from harness.images.pull import Registries, registries
from harness.images.push import push_images
from harness.images.release import (
    Facts,
    Push,
    Release,
    Unverified,
    Verified,
    check_verified,
    load_release,
    save_release,
)
from harness.images.removal import OwnImage, Removal, own_images, remove_images
from harness.images.services import ServiceImages, service_images
from harness.images.verify import (
    SMOKE_CHECKS,
    ImageCheck,
    ImageUnderTest,
    image_under_test,
    verify_and_record,
    verify_image,
)

__all__ = [
    "RECIPES",
    "SMOKE_CHECKS",
    "Base",
    "Bases",
    "Built",
    "Entry",
    "Facts",
    "ImageCheck",
    "ImageUnderTest",
    "OwnImage",
    "Push",
    "Recipe",
    "Registries",
    "Release",
    "Removal",
    "ServiceImages",
    "Unverified",
    "Verified",
    "build_bases",
    "build_image",
    "check_verified",
    "connect",
    "find_base",
    "image_under_test",
    "list_images",
    "load_release",
    "own_images",
    "push_images",
    "recipes",
    "registries",
    "remove_images",
    "save_release",
    "service_images",
    "verify_and_record",
    "verify_image",
]
