"""A pre-imported parent that forks runtimes, and the client that stands in for each of them under RIE."""
