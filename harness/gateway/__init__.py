"""The Lambda service: an ASGI application in front of a pool of RIE environments."""
