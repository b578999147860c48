"""A user's project: the folders that `harness init` makes, and the reference of harness.toml's keys."""
