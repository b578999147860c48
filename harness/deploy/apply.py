"""Deploy: check, plan, then create or update the stack, the images and the functions.

    check  ->  plan  ->  confirm  ->  stack  ->  images  ->  functions  ->  what to run next

Every step reads the current state and changes only the differences, so that deploying again is a no-op and an
interrupted deployment resumes.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import docker
import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from harness.aws.errors import aws_errors
from harness.aws.function_deployer import create_or_update, pending
from harness.deploy import functions, images, preflight, prices, stack
from harness.deploy.checks import check_creation
from harness.deploy.model_workers import deployed_before, is_model_worker, model_workers, with_workers
from harness.deploy.plan import DeploymentPlan, PlannedFunction, PlannedImage, notes_of, plan_resources
from harness.deploy.stack import ChangeSet, StackInfo
from harness.deploy.target import Client, Target
from harness.deploy.template import (
    describe,
    load_template,
    output_name,
    parameters_of,
    with_defaults,
)
from harness.deploy.zones import check_unmoved, check_zones, planned_zones, region_parameters, zone_ids
from harness.errors import HarnessError
from harness.release.record import Push, now
from harness.settings import Settings
from harness.system.engine import connect

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

Log = Callable[[str], None]

DEFAULT_STACK = "lambda-harness"
DEFAULT_WORKERS = 10
# A placeholder for an image that was never pushed; no function has its digest.
_NOT_YET = Push("", "", "sha256:", now())
_LONGEST_QUOTE = 400


@dataclass(frozen=True)
class DeployRequest:
    """The user's request.

    Attributes:
        stack: The stack's name.
        parameters: The template parameters that were given.
        n_workers: The number of workers in the largest run, which sets the concurrency reserved for each worker
            function; 0 for no reservation, None for the current one, or `DEFAULT_WORKERS` if there is none yet.
        model_bytes: The size of the largest model that workers will exchange; 0 if not known.
        expect_account: The required account; None for any.
        dry_run: Whether to stop after the plan.
    """

    stack: str = DEFAULT_STACK
    parameters: Mapping[str, str] = field(default_factory=dict)
    n_workers: int | None = None
    model_bytes: int = 0
    expect_account: str | None = None
    dry_run: bool = False


class DeployOutcome(msgspec.Struct, frozen=True):
    """The result of a deployment.

    Attributes:
        status: `deployed`, `unchanged`, `planned` (a dry run) or `declined`.
        plan: The planned changes.
        outputs: The stack's outputs; empty if there is no stack yet.
    """

    status: str
    plan: DeploymentPlan
    outputs: dict[str, str]


def deploy(
    target: Target, settings: Settings, request: DeployRequest, *, log: Log, agree: Callable[[DeploymentPlan], bool]
) -> DeployOutcome:
    """Bring a deployment to the state that the template, harness.toml and the verified images describe.

    Args:
        target: The account and region.
        settings: The project's settings.
        request: The user's request.
        log: Called with progress messages.
        agree: Called with the plan before any change; if it returns False, nothing is changed.

    Raises:
        HarnessError: A check failed, AWS refused a call, or a resource could not be created; another call resumes.
    """
    with aws_errors(f"deploying the stack {request.stack}"):
        work = _check(target, settings, request, log)
        plan, change_set = _plan(work)
        try:
            declined = "planned" if request.dry_run else "unchanged" if plan.changes_nothing else ""
            if not declined and not agree(plan):
                declined = "declined"
        except BaseException:
            _withdraw(work, change_set)
            raise
        if declined:
            _withdraw(work, change_set)
            return DeployOutcome(declined, plan, dict(work.found.outputs) if work.found else {})
        stands = _make_stack(work, change_set)
        with _while_it_stands(work, stands):
            _make_functions(work, stands)
        if stands.in_progress:
            stack.settled(work.cfn, request.stack, log)
        return DeployOutcome("deployed", plan, dict(stands.outputs))


@dataclass(frozen=True)
class _Work:
    """The results of the checks, for the later steps.

    Attributes:
        target: The account and region.
        settings: The project's settings, with the concurrency to reserve.
        request: The user's request.
        log: Called with progress messages.
        body: The template.
        account: The account.
        found: The current stack; None if there is none.
        parameters: The value of every parameter.
        engine: The engine that pushes the images.
        registry: The registry to push to.
    """

    target: Target
    settings: Settings
    request: DeployRequest
    log: Log
    body: str
    account: preflight.Account
    found: StackInfo | None
    parameters: dict[str, str]
    engine: docker.DockerClient
    registry: str

    @property
    def cfn(self) -> Client:
        return self.target.client("cloudformation")

    @property
    def functions(self) -> "LambdaClient":
        client: LambdaClient = self.target.client("lambda")
        return client

    @property
    def tags(self) -> dict[str, str]:
        return functions.tags_of(self.parameters["Project"], self.request.stack)


def _check(target: Target, settings: Settings, request: DeployRequest, log: Log) -> _Work:
    name = request.stack
    account = preflight.check_account(target, request.expect_account, log)
    cfn = target.client("cloudformation")
    found = stack.settled(cfn, name, log)
    if found is not None and not found.stillborn:
        found = _told_only(found) if request.dry_run else stack.clear(cfn, found, log)
    elif found is not None:
        log(f"stack        {name} is {found.status}, left by an earlier attempt: it is deleted first")
    before = deployed_before(found.outputs) if found is not None else []
    body = with_workers(load_template(), [*model_workers(settings), *before])
    parameters = _parameters(target, body, found, request.parameters, log)
    n_workers = request.n_workers
    if n_workers is None:
        n_workers = functions.reserved(target.client("lambda"), name, DEFAULT_WORKERS)
    settings = functions.with_reservations(settings, n_workers)
    findings = preflight.findings_of(
        settings, body, parameters, n_workers, region=target.region, account=account, model_bytes=request.model_bytes
    )
    preflight.refuse_errors(findings, log)
    if note := preflight.memory_note(settings):
        log(f"memory       {note}")
    if found is None:
        preflight.check_bucket_name(target, f"{name}-data-{account.id}-{target.region}")
    functions.check_owner(target.client("lambda"), functions.deployed_names(settings), name)
    engine = connect()
    preflight.check_images(engine, settings, log)
    images.log_in(target, engine)
    registry = images.registry_of(target, account.id, name)
    return _Work(target, settings, request, log, body, account, found, parameters, engine, registry)


def _told_only(found: StackInfo) -> StackInfo | None:
    if found.stands:
        return found
    if found.status == stack.REVIEW:
        return None
    raise HarnessError(
        f"the stack {found.name} is {found.status}",
        found.reason,
        "a deployment without --dry-run would repair it first",
    )


def _parameters(
    target: Target, body: str, found: StackInfo | None, given: Mapping[str, str], log: Log
) -> dict[str, str]:
    """Return the value of every parameter; an existing stack keeps its values unless new ones are given."""
    known = parameters_of(body)
    if found is not None and found.stands:
        check_unmoved(found.parameters, given)
        base = {key: value for key, value in found.parameters.items() if key in known}
    else:
        asked = {key for key, parameter in known.items() if parameter.default is None} - given.keys()
        node_type = given.get("CacheNodeType", known["CacheNodeType"].default or "")
        base = region_parameters(target.session, target.endpoint("ec2"), node_type) if asked else {}
    values = with_defaults(body, {**base, **given})
    warning = check_zones(target.client("ec2"), values, given)
    if warning:
        log(f"zones        {warning}")
    return values


def _plan(work: _Work) -> tuple[DeploymentPlan, ChangeSet | None]:
    """Return the planned changes; for an existing stack, CloudFormation computes them."""
    stands = work.found is not None and work.found.stands
    change_set = None
    if stands:
        change_set = stack.propose(work.cfn, work.request.stack, work.found, work.body, work.parameters, work.tags)
    try:
        resources = describe(work.body, work.parameters)
        states = _image_states(work)
        region_prices = prices.prices_of(work.target.region)
        planned = plan_resources(resources, work.parameters, region_prices, exists=stands, change_set=change_set)
        changes = _plan_functions(work, states) if stands else _all_new(work)
        plan = DeploymentPlan(
            target=work.target.kind,
            account=work.account.id,
            region=work.target.region,
            stack=work.request.stack,
            resources=planned,
            images=[
                PlannedImage(state.facts.name, state.facts.image_id, "keep" if state.push else "push")
                for state in states
            ],
            functions=changes,
            usd_per_hour=prices.total_per_hour(resources, work.parameters, region_prices),
            price_list=region_prices.price_list if region_prices else "",
            zones=planned_zones(work.parameters, zone_ids(work.target.client("ec2")), region_prices),
            notes=notes_of(planned, changes),
        )
    except BaseException:
        _withdraw(work, change_set)
        raise
    return plan, change_set


def _all_new(work: _Work) -> list[PlannedFunction]:
    return [PlannedFunction(name, ["created"]) for name in functions.deployed_names(work.settings)]


def _plan_functions(work: _Work, states: list[images.ImageState]) -> list[PlannedFunction]:
    """Return the changes of each function; one whose image must still be pushed changes at least its code."""
    found, pushes = work.found, {state.facts.name: state.push or _NOT_YET for state in states}
    assert found is not None  # noqa: S101 - the caller checked
    # The role of a model that joins the stack is made with the change that is planned.
    joining = [name for name in functions.deployed_names(work.settings) if is_model_worker(name)]
    new = [name for name in joining if output_name(name, "RoleArn") not in found.outputs]
    others = {name: function for name, function in work.settings.functions.items() if name not in new}
    settings = msgspec.structs.replace(work.settings, functions=others)
    after = functions.with_planned_subnets(found, work.body, work.parameters, functions.physical_ids(work.cfn, found))
    return [
        PlannedFunction(wanted.name, [step.what for step in pending(work.functions, wanted)])
        for wanted in functions.wanted_functions(settings, after, pushes, work.tags)
    ] + [PlannedFunction(name, ["created"]) for name in new]


def _make_stack(work: _Work, change_set: ChangeSet | None) -> StackInfo:
    """Create or update the stack, and return it."""
    found = work.found
    if found is not None and found.stands and change_set is None:
        return found
    if found is not None and found.stillborn:
        found = stack.clear(work.cfn, found, work.log)
    if change_set is None:
        change_set = stack.propose(work.cfn, work.request.stack, found, work.body, work.parameters, work.tags)
    assert change_set is not None  # noqa: S101 - a new stack is a change
    # A replaced cache may take long to be deleted, above all in a zone that is lost; functions do not wait for that.
    return stack.execute(work.cfn, change_set, work.log, cleanup=False)


def _make_functions(work: _Work, stands: StackInfo) -> None:
    """Push the images, and create or update the functions from their digests."""
    pushes = {state.facts.name: _push(work, state) for state in _image_states(work)}
    wanted = list(functions.wanted_functions(work.settings, stands, pushes, work.tags))
    traps = [trap for one in wanted for trap in check_creation(one.name, one.creation())]
    preflight.refuse_errors(traps, work.log)
    for one in wanted:
        done = create_or_update(work.functions, one)
        work.log(f"function     {one.name}: {', '.join(done) or 'up to date'}")


@contextmanager
def _while_it_stands(work: _Work, stands: StackInfo) -> Iterator[None]:
    """Raise if the stack was changed or deleted while the block ran, whether or not the block failed because of it.

    Raises:
        HarnessError: The stack was changed or deleted; or the block's own error.
    """
    failed: Exception | None = None
    try:
        yield
    except (HarnessError, ClientError, BotoCoreError) as error:
        failed = error
    state = _state_now(work, stands)
    # The cleanup of an update may have ended meanwhile.
    if state != stands.status and (stands.status, state) != (stack.CLEANUP, "UPDATE_COMPLETE"):
        raise HarnessError(
            f"the stack {stands.name} was {stands.status} and is {state}: somebody else is changing it",
            " ".join(str(failed).split())[:_LONGEST_QUOTE] if failed else "",
            "when they have finished, run `harness deploy` again: it resumes, or creates the stack again",
        ) from failed
    if failed is not None:
        raise failed


def _state_now(work: _Work, stands: StackInfo) -> str:
    try:
        now = stack.read_stack(work.cfn, stands.id)
    except ClientError:
        return stands.status  # the state cannot be read: report the first failure
    except BotoCoreError:
        return "gone with the emulation" if work.target.kind == "rehearsal" else stands.status
    return now.status if now else "gone"


def _image_states(work: _Work) -> list[images.ImageState]:
    return images.states(work.engine, work.settings.root, images.recipes_of(work.settings), work.registry)


def _push(work: _Work, state: images.ImageState) -> Push:
    pushed = images.push(work.engine, work.settings.root, state, work.registry)
    work.log(f"image        {pushed.repository}@{pushed.digest}{', already there' if state.push else ', pushed'}")
    return pushed


def _withdraw(work: _Work, change_set: ChangeSet | None) -> None:
    if change_set is not None:
        stack.withdraw(work.cfn, change_set)
