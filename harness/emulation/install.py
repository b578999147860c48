"""Adds to each of moto's services what it lacks, before its first request."""

from importlib import import_module

# Imported for the services that are asked for only: a stack that deploys nothing starts as quickly as before.
_ADDITIONS = {"cloudformation", "elasticache", "ec2", "ecr", "s3"}


def prepare(service: str, port: int) -> None:
    """To be called before a service of moto's is made.

    Args:
        service: moto's name of it.
        port: Where this server listens.
    """
    # EC2, asked for the services that have endpoints, makes the other ones' accounts.
    for name in sorted(_ADDITIONS) if service == "ec2" else {service} & _ADDITIONS:
        import_module(f"harness.emulation.{name}").install(f"http://127.0.0.1:{port}")
