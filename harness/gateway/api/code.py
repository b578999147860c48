"""A function's code: https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionCode.html."""

import asyncio

import msgspec

from harness.gateway.api.changes import creation_of, refuse_during_update, renew, update_of
from harness.gateway.api.operations import Body, Call, Input, operation
from harness.gateway.api.sources import check_source, fetched
from harness.gateway.api.views import configuration
from harness.gateway.errors import invalid_parameter
from harness.gateway.functions import check_revision
from harness.gateway.layer_store import check_size
from harness.gateway.records import Function
from harness.gateway.requests import FunctionCode, ImageConfig


class UpdateFunctionCode(Input):
    """Input of UpdateFunctionCode."""

    function_name: str
    zip_file: str | None = None
    image_uri: str | None = None
    s3_bucket: str | None = msgspec.field(default=None, name="S3Bucket")
    s3_key: str | None = msgspec.field(default=None, name="S3Key")
    s3_object_version: str | None = msgspec.field(default=None, name="S3ObjectVersion")
    publish: bool = False
    dry_run: bool = False
    revision_id: str | None = None
    architectures: tuple[str] | None = None


@operation(UpdateFunctionCode)
async def update_function_code(call: Call[UpdateFunctionCode]) -> Body:
    """Replace a function's code; a dry run returns the result without storing it."""
    wanted, services = call.input, call.services
    before = services.functions.get(wanted.function_name)
    check_revision(before, wanted.revision_id)
    refuse_during_update(before)
    services.functions.signing.check(before.name)
    code = FunctionCode(wanted.zip_file, wanted.image_uri, wanted.s3_bucket, wanted.s3_key, wanted.s3_object_version)
    _check_kind(before, code)
    sent, change = await fetched(code, services), update_of(services)
    (architecture,) = wanted.architectures or (before.architecture,)

    def update() -> Function:
        with services.functions.changing:
            function = services.functions.get(before.name)
            config = function.image.config if function.image else ImageConfig()
            package = services.functions.packages(function.name, code, config, architecture, sent)
            check_size(package.folder, function.layer_versions)
            if wanted.dry_run:
                return msgspec.structs.replace(function, package=package, architecture=architecture)
            return services.functions.change(function, package=package, architecture=architecture, change=change)

    function = await asyncio.to_thread(update)
    publishes = wanted.publish and not wanted.dry_run
    shown = services.functions.publish(function, None, creation_of(services)) if publishes else function
    renew(services, before)
    now = services.functions.get(before.name)
    if now.package.sha256 != before.package.sha256:  # and no dry run
        services.feed.change_code(now.name, now.package.sha256)
    return configuration(shown, change=shown.change if publishes else change)


def _check_kind(function: Function, code: FunctionCode) -> None:
    if function.image is None and code.image_uri:
        raise invalid_parameter("Please don't provide ImageUri when updating a function with packageType Zip.")
    if function.image is not None and not code.image_uri:
        raise invalid_parameter("Please provide ImageUri when updating a function with packageType Image.")
    check_source(code)
