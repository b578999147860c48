"""What ran is what is pushed: one digest from the rehearsal to the registry."""

import msgspec

from harness.release.push import push_images
from harness.release.verify import SMOKE_CHECKS, image_under_test, verify_and_record
from harness.stack import start_private_stack
from tests.support.running import run_job

NAMES = ("linear_ec_1", "linear_ec_2")


def test_the_digest_that_ran_is_the_one_in_the_registry(engine, own_recipes, project, registry, settings):
    """The images that a run names are, by digest, those that the registry hands out after the push."""
    own = {name: msgspec.structs.replace(settings.functions[name], image=own_recipes[name].name) for name in NAMES}
    pinned = msgspec.structs.replace(settings, functions={**settings.functions, **own})
    with start_private_stack(pinned, s3="moto", mode="container") as stack:
        summary = run_job(stack, pinned, n_workers=2)
    recipes = [own_recipes[name] for name in NAMES]
    for recipe in recipes:
        verify_and_record(project, image_under_test(engine, recipe), SMOKE_CHECKS)

    pushes = push_images(engine, project, recipes, registry)

    for name, (_, push) in zip(NAMES, pushes, strict=True):
        engine.images.remove(f"{push.repository}:{push.tag}", noprune=True)
        pulled = engine.images.pull(f"{push.repository}@{push.digest}")
        assert summary.images[name] == pulled.id


def test_both_modes_train_the_same_model(engine, base, settings):
    """The same job and seed give the same bytes of the model, as processes and in containers."""
    del engine, base
    models = []
    for mode in ("process", "container"):
        with start_private_stack(settings, s3="moto", mode=mode) as stack:
            models.append(run_job(stack, settings, n_workers=3, seed=5).model["sha256"])

    assert models[0] == models[1]
