"""Collectives: how ranks add their values through a channel; `registry` lists them."""
