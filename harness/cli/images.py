"""`harness images`: the images that are deployed to AWS, from their Dockerfiles to a registry."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from harness.cli._waiting import quiet_option, waiting
from harness.cli.groups import SuggestingGroup
from harness.cli.model_options import models_option, settings_with_models
from harness.cli.target_options import check_somebody_answers

if TYPE_CHECKING:
    from harness.images.catalogue import Recipe
    from harness.release.listing import ImageEntry
    from harness.settings import Settings

_VERIFIED = ("verified", "pushed")

Command = TypeVar("Command", bound=Callable[..., None])


def _names(function: Command) -> Command:
    return click.argument("names", nargs=-1, metavar="[NAME]...")(function)


def _as_json(function: Command) -> Command:
    return quiet_option(click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function))


def _verbose(function: Command) -> Command:
    return click.option("--verbose", is_flag=True, help="Print all of the build's output.")(function)


def _torch_index(function: Command) -> Command:
    return click.option(
        "--torch-index",
        envvar="TORCH_INDEX",
        default="",
        metavar="URL",
        help="Let pip find PyTorch's CPU builds at this index.  [default: its usual index]",
    )(function)


@click.group(cls=SuggestingGroup)
def command() -> None:
    """Build, verify, push, list and remove the images that functions run from.

    Without a NAME, a command works on all images.

    \b
    Example:
      harness images build linear_ec_1 linear_ec_2
      harness images verify linear_ec_1 linear_ec_2
      harness images push linear_ec_1 linear_ec_2 --registry 127.0.0.1:5000
    """


@command.command("build")
@_names
@click.option(
    "--base", metavar="IMAGE", help="Build on this image.  [default: the stand-in if it is built, else AWS's]"
)
@click.option(
    "--architecture",
    type=click.Choice(["amd64", "arm64"]),
    help="Build for this architecture.  [default: this machine's]",
)
@models_option
@_torch_index
@_verbose
@_as_json
def build(
    *,
    names: tuple[str, ...],
    models: tuple[str, ...],
    base: str | None,
    architecture: str | None,
    torch_index: str,
    verbose: bool,
    as_json: bool,
) -> None:
    """Build images; an image is named only when its build has succeeded.

    \b
    Example:
      harness images build linear_ec_2 --base public.ecr.aws/lambda/python:3.12
      harness images build --model my_model.py:Net
    """
    import msgspec

    from harness.images.build import build_image, find_base
    from harness.images.pull import ignore
    from harness.images.sources import sources_of
    from harness.runs.model_function import trainer_of
    from harness.runs.model_image import build_model_image
    from harness.system.console import notice, result
    from harness.system.engine import connect

    settings, chosen = _chosen(names, models)
    sources = sources_of(settings.root)
    client = connect()
    found = find_base(client, base, architecture)
    notice(f"base {found.name} ({found.digest})")
    built = []
    for number, recipe in enumerate(chosen, start=1):
        trainer = trainer_of(recipe.name, settings)
        with waiting(f"building image {recipe.name} ({number} of {len(chosen)})") as log:
            output = log if verbose else ignore
            built.append(
                build_image(client, sources, recipe, found, torch_index=torch_index, build_output=output)
                if trainer is None
                else build_model_image(client, sources, recipe, trainer, found, settings, log=log, build_output=output)
            )
        if not as_json:
            result(f"{recipe.name:<16} {built[-1].image_id}  {built[-1].seconds:.1f} s")
    if as_json:
        click.echo(msgspec.json.encode(built).decode())


@command.command("bases")
@click.option(
    "--all", "everything", is_flag=True, help="Build all stand-ins, including those of images that can be pulled."
)
@_torch_index
@_verbose
@_as_json
def bases(*, everything: bool, torch_index: str, verbose: bool, as_json: bool) -> None:
    """Prepare the base images: pull the published ones, and build stand-ins for those that cannot be pulled.

    A stand-in is made from Debian's packages; once built, it is used and kept up to date.

    \b
    Example:
      harness images bases
    """
    import msgspec

    from harness.images.bases import Bases, build_bases
    from harness.images.pull import ignore, registries
    from harness.images.sources import with_harness
    from harness.settings import load_settings
    from harness.system.engine import connect

    client, settings = connect(), load_settings()
    waited = waiting("preparing the base images")
    with waited as log, registries(client) as reachable, with_harness(settings.root) as root:
        having_sources, output = msgspec.structs.replace(settings, root=root), log if verbose else ignore
        ids = build_bases(Bases(client, having_sources, reachable, log, output, torch_index), everything=everything)
    if as_json:
        click.echo(msgspec.json.encode(ids).decode())
    else:
        for name, image_id in ids.items():
            click.echo(f"{name:<44} {image_id}")


@command.command("services")
@click.option(
    "--env",
    "as_environment",
    is_flag=True,
    help="Print variables, including a new secret, for docker-compose's .env file.",
)
@_verbose
@_as_json
def services(*, as_environment: bool, verbose: bool, as_json: bool) -> None:
    """Prepare the images of a stack in containers: LocalStack, Memcached, the registry and the harness's own.

    `harness up --mode container` does this by itself; docker-compose needs the variables that --env prints.

    \b
    Example:
      (umask 077; harness images services --env > .env)
      docker-compose up
    """
    import msgspec

    from harness.guard import SECRET_VARIABLE, new_secret, own_key
    from harness.images.pull import ignore
    from harness.images.services import service_images
    from harness.settings import load_settings
    from harness.system.engine import connect

    with waiting("preparing the images of the stack") as log:
        images = service_images(connect(), load_settings(), log=log, build_output=log if verbose else ignore)
    if as_json:
        click.echo(msgspec.json.encode(images).decode())
    elif as_environment:
        for key, name in images.names.items():
            click.echo(f"{key.upper()}_IMAGE={name}")
        secret = new_secret()
        click.echo(f"{SECRET_VARIABLE}={secret}")
        # What the stack's callers need, for the shell that reads the same file.
        click.echo(f"AWS_ACCESS_KEY_ID={own_key(secret)}\nAWS_SECRET_ACCESS_KEY=test\nAWS_DEFAULT_REGION=us-east-1")
    else:
        for key, name in images.names.items():
            click.echo(f"{name:<44} {getattr(images, key)}")


@command.command("verify")
@_names
@models_option
@click.option("--if-needed", is_flag=True, help="Skip images that have already passed and have not changed since.")
@_as_json
def verify(*, names: tuple[str, ...], models: tuple[str, ...], if_needed: bool, as_json: bool) -> None:
    """Run the images' checks, including a training run in containers, and record the passes in release/images.json.

    \b
    Example:
      harness images verify linear_ec_1 linear_ec_2
    """
    import msgspec

    from harness.release.listing import list_images
    from harness.release.training_check import training_check
    from harness.release.verify import SMOKE_CHECKS, image_under_test, verify_and_record
    from harness.system.console import result
    from harness.system.engine import connect

    settings, chosen = _chosen(names, models)
    client = connect()
    if if_needed:
        done = {entry.name for entry in list_images(client, settings.root, chosen) if entry.state in _VERIFIED}
        chosen = [recipe for recipe in chosen if recipe.name not in done]
    passed = []
    with waiting("verifying images") as log, training_check(settings, log=log) as training:
        for recipe in chosen:
            image = image_under_test(client, recipe)
            passed.append(verify_and_record(settings.root, image, [*SMOKE_CHECKS, training]))
            if not as_json:
                result(f"{recipe.name:<16} {passed[-1].image.image_id}")
                for check in passed[-1].checks:
                    result(f"  passed  {check.name:<24} {check.seconds:5.1f} s  {check.found}")
    if as_json:
        click.echo(msgspec.json.encode(passed).decode())


@command.command("push")
@_names
@click.option(
    "--registry",
    required=True,
    metavar="ADDRESS",
    help="Push to this registry: for example 127.0.0.1:5000, or the address of ECR.",
)
@models_option
@click.option("--unverified", is_flag=True, help="Push images that have not been verified; they are not recorded.")
@_as_json
def push(*, names: tuple[str, ...], registry: str, models: tuple[str, ...], unverified: bool, as_json: bool) -> None:
    """Push verified images to REGISTRY/NAME, and record the digests that the registry returns.

    If an image has not been verified, or its source has changed since, nothing is pushed.

    \b
    Example:
      harness images push linear_ec_1 linear_ec_2 --registry 127.0.0.1:5000
    """
    import msgspec

    from harness.release.push import push_images
    from harness.system.console import CAUTION, notice
    from harness.system.engine import connect

    settings, chosen = _chosen(names, models)
    if unverified:
        notice(
            "--unverified: nothing shows that these images run, or that they are of this source; "
            "they are not recorded, and a deployment by the record will not take them",
            CAUTION,
        )
    with waiting(f"pushing images to {registry}"):
        pushes = push_images(connect(), settings.root, chosen, registry, unverified=unverified)
    if as_json:
        click.echo(msgspec.json.encode([{"image": facts, "push": push} for facts, push in pushes]).decode())
    else:
        for facts, done in pushes:
            click.echo(f"{facts.name:<16} {done.repository}@{done.digest}")


@command.command("list")
@models_option
@_as_json
def list_(*, models: tuple[str, ...], as_json: bool) -> None:
    """List the images with their state, digest, base, revision and size.

    \b
    Example:
      harness images list --json
    """
    import msgspec

    from harness.release.listing import list_images
    from harness.system.engine import connect

    settings, chosen = _chosen((), models)
    entries = list_images(connect(), settings.root, chosen)
    if as_json:
        click.echo(msgspec.json.encode(entries).decode())
        return
    for entry in entries:
        click.echo(f"{entry.name:<16} {entry.state:<12} {_details(entry)}".rstrip())
        for push in entry.pushes:
            click.echo(f"  pushed  {push.repository}@{push.digest}")


@command.command("rm")
@_names
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@_as_json
def rm(*, names: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Remove the images that the harness has built, their earlier builds and the builder's layers.

    The command lists them with their sizes and asks. Images that a container uses are kept, and so are pulled images.
    A NAME is a function's image (linear_ec_2) or a stand-in (lambda-harness/localstack).

    \b
    Example:
      harness images rm
      harness images rm linear_ec_2_nn --yes
    """
    import msgspec

    from harness.errors import HarnessError
    from harness.images.removal import own_images, remove_images
    from harness.system.engine import connect

    client = connect()
    found = own_images(client, names)
    if not found and names:
        raise HarnessError(
            f"no image of the harness has the name {' or '.join(names)}", remedy="see `harness images rm`"
        )
    for image in found:
        users = f"  stays: used by {', '.join(image.containers)}" if image.containers else ""
        users = users or (f"  stays as {', '.join(image.others)}" if image.others else "")
        click.echo(f"{image.label:<48} {image.size / 1e6:>7.0f} MB{users}", err=True)
    if any(not image.containers for image in found) and not yes:
        check_somebody_answers()
        click.echo("Sizes include layers that images share.", err=True)
        if not click.confirm("Remove these images?", err=True):
            sys.exit(1)
    with waiting("removing images"):
        removal = remove_images(client, found)
    for image in removal.kept:
        if not image.containers:
            click.echo(f"kept {image.label}: other images are built on it", err=True)
    if as_json:
        click.echo(msgspec.json.encode(removal).decode())
    else:
        freed = f"; {removal.freed_bytes / 1e6:,.0f} MB are free again" if removal.freed_bytes else ""
        click.echo(f"images removed: {len(removal.removed)}{freed}")


def _chosen(names: tuple[str, ...], models: tuple[str, ...]) -> "tuple[Settings, list[Recipe]]":
    """Return the settings, and the recipes of the images that a command is about."""
    from harness.images.catalogue import recipes
    from harness.runs.model_image import recipes_of_models

    settings = settings_with_models(models)
    return settings, recipes(names, recipes_of_models(settings))


def _details(entry: "ImageEntry") -> str:
    if entry.image is None:
        return ""
    commit, _, dirty = entry.image.revision.partition("-")
    revision = f"{commit[:12]}-{dirty}" if dirty else commit[:12]
    above = "?" if entry.above_base_mb is None else f"{entry.above_base_mb:.0f}"
    return f"{_short(entry.image.image_id)}  {revision:<18}  {above:>4} MB on {entry.image.base_name}"


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
