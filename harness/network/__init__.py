"""What lies between workers and their cache: the configuration endpoint."""

from harness.network.discovery import Node, configuration, serve

__all__ = ["Node", "configuration", "serve"]
