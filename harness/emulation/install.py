"""Adds the missing parts to each of moto's services before its first request."""

from importlib import import_module

# Imported on a service's first request, so that a stack without a deployment starts as fast as without them.
_ADDITIONS = {"cloudformation", "cloudwatch", "elasticache", "ec2", "ecr", "fis", "s3", "sts"}
# A second installation would take the first one's additions for moto's own parts.
_installed: set[str] = set()


def prepare(service: str, port: int) -> None:
    """Prepare a service; call this before moto creates it.

    Args:
        service: moto's name for it.
        port: The port of this server.
    """
    # When EC2 lists the services with endpoints, it creates the backends of all other services.
    wanted = _ADDITIONS if service == "ec2" else _ADDITIONS & {service}
    for name in sorted(wanted - _installed):
        _installed.add(name)
        import_module(f"harness.emulation.{name}").install(f"http://127.0.0.1:{port}")
