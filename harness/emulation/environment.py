"""How the stack configures the emulation: environment variables, and a path."""

# `host:port` of the configuration endpoint as functions see it.
CACHE_ENDPOINT = "HARNESS_CACHE_ENDPOINT"
# The URL of the Lambda service, for FIS.
GATEWAY = "HARNESS_GATEWAY"
# The URL of the registry that stores ECR's images.
REGISTRY = "HARNESS_REGISTRY"
# Set in a stack whose moto has all of its services, for tests.
EVERY_SERVICE = "HARNESS_EVERY_SERVICE"
# The folder for the control socket of a server whose state can be brought back; without it, it cannot.
SNAPSHOTS = "HARNESS_SNAPSHOTS"
# The path at which moto forgets everything.
RESET_ROUTE = "/_harness/reset"
