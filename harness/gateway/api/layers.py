"""Layers: https://docs.aws.amazon.com/lambda/latest/api/API_PublishLayerVersion.html."""

import asyncio
from typing import Any

import msgspec

from harness.gateway import limits
from harness.gateway.api.operations import Body, Call, Input, operation
from harness.gateway.api.paging import page
from harness.gateway.errors import invalid_parameter, zipped_too_large
from harness.gateway.layer_store import LayerDetails, parse_layer, parse_version
from harness.gateway.names import layer_arn
from harness.gateway.packages import decoded
from harness.gateway.records import LayerVersion
from harness.gateway.s3_objects import S3Objects


class LayerContent(msgspec.Struct, rename="pascal"):
    """`Content` of the API: the source of a layer."""

    zip_file: str | None = None
    s3_bucket: str | None = msgspec.field(default=None, name="S3Bucket")
    s3_key: str | None = msgspec.field(default=None, name="S3Key")
    s3_object_version: str | None = msgspec.field(default=None, name="S3ObjectVersion")


class PublishLayerVersion(Input):
    """Input of PublishLayerVersion."""

    layer_name: str
    content: LayerContent
    description: str = ""
    compatible_runtimes: list[str] | None = None
    compatible_architectures: list[str] | None = None
    license_info: str | None = None


@operation(PublishLayerVersion)
async def publish_layer_version(call: Call[PublishLayerVersion]) -> Body:
    """Publish a new version of a layer, from an archive in the request or in S3."""
    wanted, layers = call.input, call.services.layers
    name = parse_layer(wanted.layer_name)
    archive = await _archive(wanted.content, call.services.s3)
    details = LayerDetails(
        description=wanted.description,
        license_info=wanted.license_info,
        runtimes=wanted.compatible_runtimes,
        architectures=wanted.compatible_architectures,
    )
    return _whole(call, await asyncio.to_thread(layers.publish, name, archive, details))


class GetLayerVersion(Input):
    """Input of GetLayerVersion."""

    layer_name: str
    version_number: int


@operation(GetLayerVersion)
async def get_layer_version(call: Call[GetLayerVersion]) -> Body:
    """Return a version of a layer, with a link to its archive."""
    name, number = named_version(call.input.layer_name, call.input.version_number)
    return _whole(call, call.services.layers.get(name, number))


class GetLayerVersionByArn(Input):
    """Input of GetLayerVersionByArn."""

    arn: str


@operation(GetLayerVersionByArn)
async def get_layer_version_by_arn(call: Call[GetLayerVersionByArn]) -> Body:
    """Return the version of a layer that an ARN names."""
    name, number = parse_version(call.input.arn, of_function=False)
    return _whole(call, call.services.layers.get(name, number))


class ListLayers(Input):
    """Input of ListLayers."""

    compatible_runtime: str | None = None
    compatible_architecture: str | None = None
    marker: str | None = None
    max_items: int | None = None


@operation(ListLayers)
async def list_layers(call: Call[ListLayers]) -> Body:
    """Return each layer with its newest version that fits the runtime and the architecture."""
    layers = call.services.layers
    newest = [next((one for one in layers.versions(name) if _fits(one, call.input)), None) for name in layers.names()]
    return page(
        [version for version in newest if version is not None],
        "Layers",
        lambda version: {
            "LayerName": version.name,
            "LayerArn": layer_arn(version.name),
            "LatestMatchingVersion": _listed(version),
        },
        marker=call.input.marker,
        max_items=call.input.max_items,
    )


class ListLayerVersions(Input):
    """Input of ListLayerVersions."""

    layer_name: str
    compatible_runtime: str | None = None
    compatible_architecture: str | None = None
    marker: str | None = None
    max_items: int | None = None


@operation(ListLayerVersions)
async def list_layer_versions(call: Call[ListLayerVersions]) -> Body:
    """Return the versions of a layer that fit the runtime and the architecture, the newest first."""
    versions = call.services.layers.versions(parse_layer(call.input.layer_name))
    return page(
        [version for version in versions if _fits(version, call.input)],
        "LayerVersions",
        _listed,
        marker=call.input.marker,
        max_items=call.input.max_items,
    )


class DeleteLayerVersion(Input):
    """Input of DeleteLayerVersion."""

    layer_name: str
    version_number: int


@operation(DeleteLayerVersion)
async def delete_layer_version(call: Call[DeleteLayerVersion]) -> Body:
    """Delete a version of a layer, if it exists; functions that have it keep it."""
    name, number = named_version(call.input.layer_name, call.input.version_number)
    call.services.layers.delete(name, number)
    call.services.pool.remove_unneeded_code()
    return None


def named_version(layer: str, number: int) -> tuple[str, int]:
    """Return the layer's name and the version's number that an input identifies.

    Raises:
        LambdaApiError: No version has such a number.
    """
    if number < 1:
        raise invalid_parameter("Layer Version Cannot be less than 1")
    return parse_layer(layer), number


async def _archive(content: LayerContent, s3: S3Objects) -> bytes:
    """Return the archive that a request holds or names."""
    if content.zip_file is not None:
        if content.s3_bucket or content.s3_key or content.s3_object_version:
            raise invalid_parameter("Please provide either ZipFile or an object in S3 as the layer content, not both.")
        archive = await asyncio.to_thread(decoded, content.zip_file)
        if len(archive) >= limits.ZIPPED_BYTES:
            raise zipped_too_large()
        return archive
    if not content.s3_bucket or not content.s3_key:
        raise invalid_parameter("Please provide a source for layer content.")
    return await s3.read(content.s3_bucket, content.s3_key, content.s3_object_version)


def _fits(version: LayerVersion, wanted: ListLayers | ListLayerVersions) -> bool:
    runtimes, architectures = version.runtimes or (), version.architectures or ()
    return (wanted.compatible_runtime is None or wanted.compatible_runtime in runtimes) and (
        wanted.compatible_architecture is None or wanted.compatible_architecture in architectures
    )


def _whole(call: Call[Any], version: LayerVersion) -> dict[str, Any]:
    content = {
        "Location": call.services.downloads.location(version.archive, call.address),
        "CodeSha256": version.sha256,
        "CodeSize": version.size,
    }
    return {"Content": content, "LayerArn": layer_arn(version.name), **_listed(version)}


def _listed(version: LayerVersion) -> dict[str, Any]:
    """Return what lists show of a version; what was never given is absent."""
    given = {
        "LicenseInfo": version.license_info,
        "CompatibleRuntimes": version.runtimes,
        "CompatibleArchitectures": version.architectures,
    }
    return {
        "LayerVersionArn": version.arn,
        "Version": version.number,
        "Description": version.description,
        "CreatedDate": version.created.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000",
        **{name: value for name, value in given.items() if value is not None},
    }
