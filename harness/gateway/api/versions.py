"""Versions: https://docs.aws.amazon.com/lambda/latest/api/API_PublishVersion.html."""

import msgspec

from harness.gateway.api.changes import creation_of, refuse_during_update
from harness.gateway.api.operations import Body, Call, Input, operation
from harness.gateway.api.paging import page
from harness.gateway.api.views import configuration
from harness.gateway.errors import invalid_parameter
from harness.gateway.functions import check_revision


class PublishVersion(Input):
    """Input of PublishVersion."""

    function_name: str
    description: str | None = None
    code_sha256: str | None = msgspec.field(default=None, name="CodeSha256")
    revision_id: str | None = None


@operation(PublishVersion)
async def publish_version(call: Call[PublishVersion]) -> Body:
    """Publish `$LATEST`; return the newest version if nothing has changed since."""
    wanted, functions = call.input, call.services.functions
    function = functions.get(wanted.function_name)
    check_revision(function, wanted.revision_id)
    refuse_during_update(function)
    if wanted.code_sha256 not in (None, function.package.sha256):
        raise invalid_parameter(
            f"CodeSHA256 ({wanted.code_sha256}) is different from current CodeSHA256 in $LATEST "
            f"({function.package.sha256}). Please try again with the CodeSHA256 in $LATEST."
        )
    # AWS copies a function at once, but takes the snapshot of SnapStart first.
    change = creation_of(call.services) if function.snap_start != "None" else None
    published = functions.publish(function, wanted.description, change)
    return configuration(published, change=change if published.change is change else None)


class ListVersionsByFunction(Input):
    """Input of ListVersionsByFunction."""

    function_name: str
    marker: str | None = None
    max_items: int | None = None


@operation(ListVersionsByFunction)
async def list_versions_by_function(call: Call[ListVersionsByFunction]) -> Body:
    """Return `$LATEST`, then the published versions."""
    functions = call.services.functions
    return page(
        functions.versions(functions.get(call.input.function_name).name),
        "Versions",
        lambda version: configuration(version, states=False, qualified=True),
        marker=call.input.marker,
        max_items=call.input.max_items,
    )
