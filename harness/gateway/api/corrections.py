"""Where AWS's answers were recorded to differ from AWS's service model, and where the emulation is narrower.

By shape: the constraints that replace the model's; None for one that AWS checks elsewhere.
"""

from collections.abc import Mapping
from typing import Any

_ARN = r"arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:"
_UUID = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"

# Runtimes in the order of AWS's messages.
_PUBLISHED_RUNTIMES = (
    "nodejs20.x python3.14 provided.al2023 python3.12 python3.13 nodejs24.x nodejs22.x java25 python3.10 python3.11 "
    "java21 ruby3.3 ruby3.4 ruby3.2 python3.8 python3.9 java17 nodejs16.x dotnet10 dotnet8 java11 dotnet6 "
    "nodejs18.x provided.al2 java8.al2"
)
_LISTED_RUNTIMES = (
    "ruby3.5 ruby2.6 dotnetcore1.0 python3.7 nodejs8.10 nasa ruby2.7 python2.7-greengrass dotnetcore2.0 python3.8 "
    "java21 dotnet6 dotnetcore2.1 python3.9 java11 nodejs6.10 provided dotnetcore3.1 dotnet8 java25 java17 nodejs "
    "nodejs4.3 java8.al2 go1.x dotnet10 nodejs20.x go1.9 byol nodejs10.x provided.al2023 nodejs22.x python3.10 "
    "java8 nodejs12.x python3.11 nodejs24.x nodejs8.x python3.12 nodejs14.x nodejs8.9 nodejs26.x python3.13 "
    "python3.14 nodejs16.x python3.15 provided.al2 nodejs4.3-edge nodejs18.x ruby3.2 python3.4 ruby3.3 ruby3.4 "
    "ruby2.5 python3.6 python2.7"
)

CORRECTIONS: Mapping[str, Mapping[str, Any]] = {
    # The model's larger limits are those of capacity providers, which are not emulated.
    "Timeout": {"max": 900},
    "MemorySize": {"max": 10_240},
    "EphemeralStorageSize": {"max": 10_240},
    # AWS answers InvalidParameterValueException (configuration_checks.py).
    "Runtime": {"enum": None},
    # AWS lists these in an order of its own.
    "RecursiveLoop": {"enum": ["Terminate", "Allow"]},
    "InvokeMode": {"enum": ["RESPONSE_STREAM", "BUFFERED"]},
    "EventSourcePosition": {"enum": ["LATEST", "AT_TIMESTAMP", "TRIM_HORIZON"]},
    # AWS shows these without the outer brackets.
    "LayerVersionArn": {
        "pattern": r"(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:"
        r"[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)"
    },
    # AWS checks this list as a whole; it accepts the deprecated runtimes, too.
    "CompatibleRuntimes": {"enum": _PUBLISHED_RUNTIMES.split()},
    # AWS's own expression names one kind more.
    "TaggableResource": {
        "pattern": _ARN
        + r"(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|"
        + f"code-signing-config:csc-[a-z0-9]{{17}}|event-source-mapping:{_UUID}|capacity-provider:[a-zA-Z0-9-_]+)"
    },
}

# By operation and member, where the shape has other constraints elsewhere.
MEMBERS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("ListLayers", "CompatibleRuntime"): {"enum": _LISTED_RUNTIMES.split()},
    ("ListLayerVersions", "CompatibleRuntime"): {"enum": _LISTED_RUNTIMES.split()},
}

# Members that AWS checks before the others.
FIRST: Mapping[str, tuple[str, ...]] = {"PublishLayerVersion": ("CompatibleRuntimes",)}


def corrected(shapes: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the model's shapes with the corrections."""
    accepted = {"CompatibleRuntimes": {"accepted": shapes["Runtime"]["enum"]}}
    corrections = {name: {**CORRECTIONS.get(name, {}), **accepted.get(name, {})} for name in shapes}
    return {
        name: {key: value for key, value in {**shape, **corrections[name]}.items() if value is not None}
        for name, shape in shapes.items()
    }
