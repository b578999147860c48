"""Between workers and cache: the configuration endpoint, and proxies that inject faults or emulate AWS's network."""

from harness.network.discovery import Node, NodeList, configuration, serve

__all__ = ["Node", "NodeList", "configuration", "serve"]
