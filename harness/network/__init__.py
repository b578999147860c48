"""The network between workers and their cache: the configuration endpoint, and proxies that inject faults."""

from harness.network.discovery import Node, configuration, serve

__all__ = ["Node", "configuration", "serve"]
