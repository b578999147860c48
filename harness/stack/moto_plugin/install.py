"""Adds to each of moto's services what it lacks, before its first request."""


def prepare(service: str, port: int) -> None:
    """To be called before a service of moto's is made.

    Args:
        service: moto's name of it.
        port: Where this server listens.
    """
    # Imported for the services that are asked for only: a stack that deploys nothing starts as quickly as before.
    if service == "cloudformation":
        from harness.stack.moto_plugin import cloudformation  # noqa: PLC0415

        cloudformation.install(f"http://127.0.0.1:{port}")
    elif service == "elasticache":
        from harness.stack.moto_plugin import elasticache  # noqa: PLC0415

        elasticache.install()
    elif service == "ec2":
        from harness.stack.moto_plugin import ec2  # noqa: PLC0415

        ec2.install()
    elif service == "ecr":
        from harness.stack.moto_plugin import ecr  # noqa: PLC0415

        ecr.install()
